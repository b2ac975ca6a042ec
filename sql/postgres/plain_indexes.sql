-- Purpose: the indexes of a table that may be made after its rows: they belong to no key or constraint.
-- Grain:   one row per index; none unless the session's role owns the table.
-- Time:    now.
SELECT
    index.indexrelid::regclass::text        AS name,
    pg_get_indexdef(index.indexrelid)       AS definition
FROM pg_index AS index
INNER JOIN pg_class AS relation ON relation.oid = index.indrelid
WHERE
    relation.oid = to_regclass(:table)
    AND pg_has_role(relation.relowner, 'USAGE')
    AND NOT (index.indisunique OR index.indisexclusion OR index.indisreplident OR index.indisclustered)
    AND index.indisvalid
