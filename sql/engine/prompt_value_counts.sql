-- Purpose: what a prompt's events of each scene, environment and outfit add up to: users, times, periods.
-- Grain:   prompt x dimension x value, NULL being a value.
-- Time:    all of the input; the periods of 1, 7 and 30 days (UTC) end with :today, or lie just before those.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, distinct users don't add up.
SELECT
    prompt_id,
    dimension,
    value,
    count(*)                                                                    AS usage_count,
    count(generation_time_ms)                                                   AS timed_count,
    min(generation_time_ms)                                                     AS generation_time_ms_min,
    max(generation_time_ms)                                                     AS generation_time_ms_max,
    count(DISTINCT user_id)                                                     AS unique_users,
    count(CASE WHEN day = $today THEN 1 END)                                    AS usage_count_1d,
    count(CASE WHEN day BETWEEN $today - 6 AND $today THEN 1 END)               AS usage_count_7d,
    count(CASE WHEN day BETWEEN $today - 29 AND $today THEN 1 END)              AS usage_count_30d,
    count(CASE WHEN day = $today - 1 THEN 1 END)                                AS usage_count_previous_1d,
    count(CASE WHEN day BETWEEN $today - 13 AND $today - 7 THEN 1 END)          AS usage_count_previous_7d,
    count(CASE WHEN day BETWEEN $today - 59 AND $today - 30 THEN 1 END)         AS usage_count_previous_30d
FROM usage_events
UNPIVOT INCLUDE NULLS (value FOR dimension IN (scene, environment, outfit))
GROUP BY prompt_id, dimension, value
