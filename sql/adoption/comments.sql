-- Purpose: the comments of some relations and of their columns.
-- Grain:   one row per comment; column_name is NULL where it is the relation's.
-- Time:    now.
SELECT
    wanted.name          AS relation_name,
    attribute.attname    AS column_name,
    note.description     AS comment
FROM unnest(CAST(:names AS text[])) AS wanted (name)
INNER JOIN pg_description AS note
    ON note.objoid = to_regclass(wanted.name) AND note.classoid = 'pg_class'::regclass
LEFT JOIN pg_attribute AS attribute
    ON attribute.attrelid = note.objoid AND attribute.attnum = note.objsubid AND note.objsubid > 0
