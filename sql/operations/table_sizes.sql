-- Purpose: what the tables take on the database's disk, with their indexes.
-- Grain:   one row per table of the schema public, the largest first.
-- Time:    now.
SELECT
    relname                                       AS table_name,
    pg_size_pretty(pg_total_relation_size(oid))   AS size,
    greatest(reltuples, 0)::bigint                AS rows_about
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
ORDER BY pg_total_relation_size(oid) DESC
LIMIT 20
