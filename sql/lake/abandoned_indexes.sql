-- Purpose: what rebuilding an index of a table beside its writers left behind when it was broken off.
-- Grain:   one row per index of :table, or of a partition of it, that is not valid and has the name that REINDEX CONCURRENTLY gives.
-- Time:    none.
SELECT pg_index.indexrelid::regclass::text AS name
FROM pg_index
INNER JOIN pg_class AS relation ON relation.oid = pg_index.indexrelid
INNER JOIN pg_am ON pg_am.oid = relation.relam
WHERE
    (
        pg_index.indrelid = to_regclass(:table)
        OR pg_index.indrelid IN (SELECT tree.relid FROM pg_partition_tree(to_regclass(:table)) AS tree)
    )
    AND pg_am.amname = 'brin'
    AND NOT pg_index.indisvalid
    AND relation.relname ~ '_ccnew[0-9]*$'
    AND pg_has_role(relation.relowner, 'USAGE')
ORDER BY 1
