-- Purpose: removes some raw rows of an expired day that the lake has.
-- Grain:   the rows at :places with these :ids, two lists in one order.
-- Time:    day, from :from_time up to, and without, :to_time; ingest_xid below :high.
-- A place alone says nothing: another row may be there by now. The first day has the undated rows and those
-- before it.
DELETE FROM prompt_usage
USING unnest(CAST(:places AS tid[]), CAST(:ids AS text[])) AS held (place, id)
WHERE
    prompt_usage.ctid = held.place
    AND prompt_usage.id::text = held.id
    AND (
        prompt_usage.created_at >= CAST(:from_time AS timestamp)
        AND prompt_usage.created_at < CAST(:to_time AS timestamp)
        OR :is_first_day
        AND (
            prompt_usage.created_at IS NULL
            OR prompt_usage.created_at < CAST(:from_time AS timestamp)
            OR prompt_usage.created_at >= '10000-01-01'
        )
    )
    AND (prompt_usage.ingest_xid < :high OR prompt_usage.ingest_xid IS NULL)
