-- Purpose: how large some tables are and how often they were changed, from what the server keeps anyway.
-- Grain:   one row per table of :relations that there is, with its name among :names; its partitions are part of it.
-- Time:    now; the counts lag by a second, and a crash of the server sets them back.
SELECT
    wanted.name,
    coalesce(sum(stat.n_live_tup), 0)::bigint                            AS rows_estimated,
    sum(pg_total_relation_size(part.relid))::bigint                      AS bytes,
    pg_catalog.concat_ws(
        '/', sum(stat.n_tup_ins), sum(stat.n_tup_upd), sum(stat.n_tup_del)
    )                                                                    AS changes
FROM unnest(CAST(:names AS text[]), CAST(:relations AS text[])) AS wanted (name, relation)
CROSS JOIN LATERAL (
    SELECT to_regclass(wanted.relation) AS relid
    UNION
    SELECT tree.relid FROM pg_partition_tree(to_regclass(wanted.relation)) AS tree
) AS part
LEFT JOIN pg_stat_user_tables AS stat ON stat.relid = part.relid
WHERE part.relid IS NOT NULL
GROUP BY wanted.name
