-- Purpose: triggers of the app that fire when a prompt's counters are written back.
-- Grain:   one row per trigger.
-- Time:    now.
-- 16 is the bit of UPDATE (TRIGGER_TYPE_UPDATE). A trigger of some columns fires if one of them is set.
SELECT tgname AS name
FROM pg_trigger
WHERE
    tgrelid = to_regclass(:table)
    AND NOT tgisinternal
    AND tgenabled IN ('O', 'A')
    AND tgtype & 16 <> 0
    AND (
        tgattr = ''::int2vector
        OR EXISTS (
            SELECT 1
            FROM pg_attribute
            WHERE attrelid = tgrelid AND attnum = ANY (tgattr) AND attname = ANY (CAST(:columns AS text[]))
        )
    )
ORDER BY tgname
