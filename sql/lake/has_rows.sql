-- Purpose: whether a partition has any row.
-- Grain:   one row.
-- Time:    created_at, from :first to :last, the days of the partition.
-- Asked of the table, since a role may have no right on the partition itself.
SELECT EXISTS (
    SELECT FROM prompt_usage
    WHERE
        created_at >= CAST(:first AS date)
        AND created_at < CAST(:last AS date) + 1
        AND tableoid IN (SELECT tree.relid FROM pg_partition_tree(CAST(CAST(:relation AS bigint) AS oid)::regclass) AS tree)
) AS has_rows
