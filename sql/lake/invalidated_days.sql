-- Purpose: the days whose raw rows were updated or deleted and that are not published since.
-- Grain:   one row per day; day is NULL where every day is meant (TRUNCATE).
-- Time:    xid, the transaction that made the change.
-- A day that no calendar has (infinity, the year 10000) is that of undated rows: the first.
SELECT
    CASE
        WHEN operation <> 'TRUNCATE'
            THEN greatest(CASE WHEN day < '10000-01-01' THEN day END, :first_day)
    END      AS day,
    max(xid) AS xid
FROM prompt_usage_invalidation
GROUP BY 1
ORDER BY 1
