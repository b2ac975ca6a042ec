-- Purpose: the indexes of a table that keep a summary per range of blocks, and whether this role may rebuild them.
-- Grain:   one row per valid index of :table or, if it has partitions, of one of them.
-- Time:    none.
SELECT
    pg_index.indexrelid::regclass::text             AS name,
    pg_has_role(relation.relowner, 'USAGE')         AS is_ours
FROM pg_index
INNER JOIN pg_class AS relation ON relation.oid = pg_index.indexrelid
INNER JOIN pg_am ON pg_am.oid = relation.relam
WHERE (
        pg_index.indrelid = to_regclass(:table)
        OR pg_index.indrelid IN (SELECT tree.relid FROM pg_partition_tree(to_regclass(:table)) AS tree)
    ) AND pg_am.amname = 'brin' AND pg_index.indisvalid AND relation.relkind = 'i'
ORDER BY 1
