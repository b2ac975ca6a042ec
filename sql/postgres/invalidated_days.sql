-- Purpose: the days whose raw rows were updated or deleted and that are not published since.
-- Grain:   one row a day; day is NULL where every day is meant (TRUNCATE).
-- Time:    xid, the transaction that made the change.
-- A day that no calendar has (infinity, the year 10000) is the last one that can be named.
SELECT
    CASE
        WHEN operation <> 'TRUNCATE'
            THEN least(greatest(coalesce(day, :first_day), :first_day), CAST('9999-12-31' AS date))
    END      AS day,
    max(xid) AS xid
FROM prompt_usage_invalidation
GROUP BY 1
ORDER BY 1
