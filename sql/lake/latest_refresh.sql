-- Purpose: the last publish, and how old its numbers are now.
-- Grain:   one row, or none before the first publish.
-- Time:    published_at.
SELECT
    id,
    high,
    as_of,
    started_at,
    published_at,
    open_until,
    usage_count,
    held_back_count,
    pending_days,
    rows_written,
    seconds,
    run_id,
    user_stats_as_of,
    value_stats_as_of,
    value_stats_version,
    stats_version,
    write_back_as_of,
    -- Where the counters in prompts were left alone, there is no entry for them.
    rows_written ? 'prompts' AS is_written_back,
    extract(epoch FROM clock_timestamp() - as_of)::double precision AS lag_seconds
FROM stats_refresh
ORDER BY id DESC
LIMIT 1
