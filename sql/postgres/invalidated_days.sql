-- Purpose: the days whose raw rows were updated or deleted and that are not published since.
-- Grain:   one row a day; day is NULL where every day is meant (TRUNCATE).
-- Time:    xid, the transaction that made the change.
-- A day that no calendar has (infinity, the year 10000) is the last one that can be named. Expired days are
-- left out: their raw rows are gone anyway.
SELECT
    note.day,
    max(note.xid) AS xid
FROM (
    SELECT
        CASE
            WHEN operation <> 'TRUNCATE'
                THEN least(greatest(coalesce(day, :first_day), :first_day), CAST('9999-12-31' AS date))
        END AS day,
        xid
    FROM prompt_usage_invalidation
) AS note
WHERE NOT EXISTS (SELECT FROM stats_expired_day AS expired WHERE expired.day = note.day)
GROUP BY 1
ORDER BY 1
