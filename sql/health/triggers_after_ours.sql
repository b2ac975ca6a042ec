-- Purpose: triggers of the app that see a row of prompt_usage after ours gave it its ingest_xid.
-- Grain:   one row per name of a trigger, on the table or on a partition.
-- Time:    now.
-- 7 are the bits of ROW, BEFORE and INSERT (TRIGGER_TYPE_ROW …). Postgres fires them in the order of their names.
SELECT DISTINCT tgname::text AS name
FROM pg_trigger
WHERE
    (
        tgrelid = to_regclass(:table)
        OR tgrelid IN (SELECT tree.relid FROM pg_partition_tree(to_regclass(:table)) AS tree)
    )
    AND NOT tgisinternal
    AND tgenabled <> 'D'
    AND tgtype & 7 = 7
    AND tgname::text COLLATE "C" > :ours
ORDER BY 1
