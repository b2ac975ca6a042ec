-- Purpose: the database's clock, and recent events whose time is after the moment at which they were there.
-- Grain:   one row per event, for at most :limit, the farthest ahead first; one row if there is none.
-- Time:    ingest_xid, from the syncs of the last two hours on; created_at, ahead by more than :lead.
-- A row below a sync's high was there when the sync began. Rows above all of them are there now.
WITH syncs AS (
    SELECT
        array_agg(high ORDER BY high, started_at)       AS highs,
        array_agg(started_at ORDER BY high, started_at) AS started_ats
    FROM stats_sync
    WHERE started_at > clock_timestamp() - interval '2 hours'
),

ahead AS (
    SELECT
        event.id,
        event.prompt_id,
        event.user_id,
        event.created_at,
        event.created_at - coalesce(
            (SELECT started_ats FROM syncs)[width_bucket(event.ingest_xid, (SELECT highs FROM syncs)) + 1],
            clock_timestamp()
        ) AS lead
    FROM prompt_usage AS event
    WHERE event.ingest_xid >= (SELECT highs[1] FROM syncs) AND event.created_at < '10000-01-01' AND isfinite(event.created_at)
),

worst AS (
    SELECT *, count(*) OVER () AS events_ahead
    FROM ahead
    WHERE lead > CAST(:lead AS interval)
    ORDER BY lead DESC, id
    LIMIT :limit
)

SELECT
    clock_timestamp()                                    AS read_at,
    coalesce(worst.events_ahead, 0)                      AS events_ahead,
    worst.id::text,
    worst.prompt_id::text,
    worst.user_id::text,
    extract(epoch FROM worst.lead)::double precision     AS seconds_ahead
FROM (VALUES (1)) AS one (row)
LEFT JOIN worst ON true
ORDER BY worst.lead DESC, worst.id
