-- Purpose: removes some raw rows of an expired day that the lake has.
-- Grain:   the rows at :places of :relations with these :ids, three lists in one order.
-- Time:    day, from :from_time up to, and without, :to_time; ingest_xid below :high.
-- A place alone says nothing: each partition has places of its own, and another row may be there by now. The first
-- day has the undated rows and those before it.
DELETE FROM prompt_usage
USING unnest(CAST(:relations AS bigint[]), CAST(:places AS tid[]), CAST(:ids AS text[])) AS held (relation, place, id)
WHERE
    prompt_usage.tableoid = CAST(held.relation AS oid)
    AND prompt_usage.ctid = held.place
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
