-- Purpose: how large some tables are and how often they were changed, from what the server keeps anyway.
-- Grain:   one row per table of :relations that there is, with its name among :names.
-- Time:    now; the counts lag by a second, and a crash of the server sets them back.
SELECT
    wanted.name,
    stat.n_live_tup                                                      AS rows_estimated,
    pg_total_relation_size(relation.oid)                                 AS bytes,
    pg_catalog.concat_ws('/', stat.n_tup_ins, stat.n_tup_upd, stat.n_tup_del)       AS changes
FROM unnest(CAST(:names AS text[]), CAST(:relations AS text[])) AS wanted (name, relation)
INNER JOIN pg_class AS relation ON relation.oid = to_regclass(wanted.relation)
INNER JOIN pg_stat_user_tables AS stat ON stat.relid = relation.oid
