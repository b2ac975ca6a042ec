-- Purpose: what the columns of prompts can hold that the pipeline writes, of the table below a view.
-- Grain:   one row per column of :columns, by the app's names, that :table has; a domain's type is the one below it.
-- Time:    now.
SELECT
    attribute.attname::text                                              AS name,
    CASE
        WHEN type.typtype = 'd' THEN format_type(type.typbasetype, type.typtypmod)
        ELSE format_type(attribute.atttypid, attribute.atttypmod)
    END                                                                  AS type,
    NOT (attribute.attnotnull OR type.typnotnull)                        AS is_nullable,
    attribute.attgenerated <> ''                                         AS is_generated
FROM pg_attribute AS attribute
INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
WHERE
    attribute.attrelid = to_regclass(:table)
    AND attribute.attname = ANY(CAST(:columns AS text []))
    AND NOT attribute.attisdropped
