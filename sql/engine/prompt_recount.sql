-- Purpose: what some prompts' raw events add up to, for days that the lake alone has.
-- Grain:   one row a prompt and day.
-- Time:    day (UTC).
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, and shares nothing with those that it checks.
SELECT
    prompt_id,
    day,
    count(*)                                               AS usage_count,
    count(*) FILTER (WHERE success)                        AS success_count,
    count(*) FILTER (WHERE NOT success)                    AS failure_count,
    count(generation_time_ms)                              AS timed_count,
    CAST(coalesce(sum(generation_time_ms), 0) AS BIGINT)   AS generation_time_ms_sum,
    max(created_at)                                        AS last_used_at
FROM usage_events
GROUP BY prompt_id, day
