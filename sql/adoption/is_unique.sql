-- Purpose: whether a unique index is on this one column of a table, whatever rows it is about.
-- Grain:   one row.
-- Time:    now.
SELECT
    EXISTS (
        SELECT
        FROM pg_index AS index
        INNER JOIN pg_attribute AS attribute
            ON attribute.attrelid = index.indrelid AND attribute.attnum = index.indkey[0]
        WHERE
            index.indrelid = to_regclass(:table)
            AND index.indisunique
            AND index.indisvalid
            AND index.indnkeyatts = 1
            AND attribute.attname = :column
    ) AS is_unique
