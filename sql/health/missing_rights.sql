-- Purpose: which of some rights the role lacks.
-- Grain:   one row per right, none for tables and columns that there are not.
-- Time:    now.
-- A right is on the database where no table is named, and on the whole table where no column is.
SELECT wanted.table_name, wanted.privilege, wanted.column_name
FROM unnest(
    CAST(:tables AS text[]), CAST(:privileges AS text[]), CAST(:columns AS text[])
) WITH ORDINALITY AS wanted (table_name, privilege, column_name, place)
LEFT JOIN pg_attribute AS attribute
    ON attribute.attrelid = to_regclass(wanted.table_name) AND attribute.attname = wanted.column_name
WHERE NOT CASE
    WHEN wanted.table_name IS NULL THEN has_database_privilege(current_database(), wanted.privilege)
    WHEN wanted.column_name IS NULL
        THEN has_table_privilege(to_regclass(wanted.table_name), wanted.privilege)
    ELSE has_column_privilege(attribute.attrelid, attribute.attnum, wanted.privilege)
END
ORDER BY wanted.place
