-- Purpose: triggers of the app that see a row of prompt_usage after ours gave it its ingest_xid.
-- Grain:   one row per trigger.
-- Time:    now.
-- 7 are the bits of ROW, BEFORE and INSERT (TRIGGER_TYPE_ROW …). Postgres fires them in the order of their names.
SELECT tgname::text AS name
FROM pg_trigger
WHERE
    tgrelid = to_regclass(:table)
    AND NOT tgisinternal
    AND tgenabled <> 'D'
    AND tgtype & 7 = 7
    AND tgname::text COLLATE "C" > :ours
ORDER BY tgname
