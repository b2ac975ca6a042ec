-- Purpose: the columns of some tables, with types and defaults, and their triggers.
-- Grain:   one row a column, or trigger, whose definition is whether it fires (pg_trigger.tgenabled).
-- Time:    now.
WITH source AS (
    SELECT wanted.table_name, to_regclass(wanted.table_name) AS oid
    FROM unnest(CAST(:tables AS text[])) AS wanted (table_name)
)

SELECT
    source.table_name,
    'column'                                        AS kind,
    attribute.attname::text                         AS name,
    CASE
        WHEN type.typtype = 'e' THEN 'enum'
        WHEN type.typcategory = 'A' THEN 'ARRAY'
        ELSE format_type(coalesce(nullif(type.typbasetype, 0), type.oid), NULL)
    END                                             AS type,
    pg_get_expr(attrdef.adbin, attrdef.adrelid)     AS definition
FROM source
INNER JOIN pg_attribute AS attribute ON attribute.attrelid = source.oid
INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
LEFT JOIN pg_attrdef AS attrdef
    ON attrdef.adrelid = attribute.attrelid AND attrdef.adnum = attribute.attnum
WHERE attribute.attnum > 0 AND NOT attribute.attisdropped
UNION ALL
SELECT source.table_name, 'trigger', tgname::text, NULL, tgenabled::text
FROM source
INNER JOIN pg_trigger ON pg_trigger.tgrelid = source.oid
WHERE NOT tgisinternal
