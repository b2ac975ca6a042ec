-- Purpose: the indexes of some tables, and whether the server uses them.
-- Grain:   one row an index.
-- Time:    now.
-- CREATE INDEX CONCURRENTLY that was broken off leaves one that is not valid.
SELECT
    wanted.table_name,
    relation.relname                        AS name,
    index.indisvalid AND index.indisready   AS is_valid
FROM unnest(CAST(:tables AS text[])) AS wanted (table_name)
INNER JOIN pg_index AS index ON index.indrelid = to_regclass(wanted.table_name)
INNER JOIN pg_class AS relation ON relation.oid = index.indexrelid
ORDER BY wanted.table_name, relation.relname
