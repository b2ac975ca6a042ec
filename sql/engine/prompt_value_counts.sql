-- Purpose: what a prompt's events of each scene, environment and outfit add up to: users, times, periods.
-- Grain:   prompt x dimension x value, NULL being a value.
-- Time:    all of the input; the periods of 1, 7 and 30 whole days (UTC) end before :today, or those begin.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, distinct users don't add up.
SELECT
    prompt_id,
    dimension,
    value,
    count(*)                                                               AS usage_count,
    count(generation_time_ms)                                              AS timed_count,
    min(generation_time_ms)                                                AS generation_time_ms_min,
    max(generation_time_ms)                                                AS generation_time_ms_max,
    count(DISTINCT user_id)                                                AS unique_users,
    count(CASE WHEN day = $today - 1 THEN 1 END)                           AS usage_count_1d,
    count(CASE WHEN day BETWEEN $today - 7 AND $today - 1 THEN 1 END)      AS usage_count_7d,
    count(CASE WHEN day BETWEEN $today - 30 AND $today - 1 THEN 1 END)     AS usage_count_30d,
    count(CASE WHEN day = $today - 2 THEN 1 END)                           AS usage_count_previous_1d,
    count(CASE WHEN day BETWEEN $today - 14 AND $today - 8 THEN 1 END)     AS usage_count_previous_7d,
    count(CASE WHEN day BETWEEN $today - 60 AND $today - 31 THEN 1 END)    AS usage_count_previous_30d
FROM usage_events
UNPIVOT INCLUDE NULLS (value FOR dimension IN (scene, environment, outfit))
GROUP BY prompt_id, dimension, value
