-- Purpose: the tables in which this transaction has changed rows so far.
-- Grain:   one row per table, temporary ones left out.
-- Time:    now.
SELECT relid::regclass::text AS name
FROM pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 AND schemaname !~ '^pg_(toast_)?temp'
ORDER BY 1
