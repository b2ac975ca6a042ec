-- Purpose: keeps others who write the same events waiting until the transaction ends, and then sees what they wrote.
-- Grain:   one row per lock.
-- Time:    none.
-- There are 256, so that a large batch takes no more of the server's memory for locks. In the order of their numbers,
-- so that two batches can't wait for each other. 1884648547 is ours alone.
SELECT pg_advisory_xact_lock(1884648547, wanted.number)
FROM (
    SELECT DISTINCT hashtext(keys.key) & 255 AS number
    FROM unnest(CAST(%(keys)s AS text[])) AS keys (key)
    ORDER BY 1
) AS wanted
