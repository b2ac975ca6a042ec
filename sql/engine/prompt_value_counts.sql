-- Purpose: what a prompt's events of each scene, environment and outfit add up to: users, times, periods.
-- Grain:   prompt x dimension x value, NULL being a value. Events without a prompt have no row.
-- Time:    all of the input; the periods of 1, 7 and 30 whole days (UTC) end before :today, or those begin.
-- Reads usage_events. Runs on DuckDB alone: it is no rollup, distinct users and percentiles don't add up,
-- and what makes it fast there (quantile_disc of a list, numbers in place of ids) has no form that Spark shares.
-- time_buckets: those of the times that 50, 90, 95 and 99 % do not exceed, as prompt_usage_daily.sql numbers them;
-- NULL without times. The percentile of the buckets is the bucket of the percentile, and the factors are decimals,
-- so the rank is exact.
-- Prompts and users are numbered, and a pair of them is one number: its distinct ones are found in a third of the
-- time that count(DISTINCT user_id) takes.
WITH prompts AS (
    SELECT
        prompt_id,
        row_number() OVER (ORDER BY prompt_id) AS number
    FROM (SELECT DISTINCT prompt_id FROM usage_events WHERE prompt_id IS NOT NULL) AS known
),

users AS (
    SELECT
        user_id,
        row_number() OVER () AS number
    FROM (SELECT DISTINCT user_id FROM usage_events WHERE user_id IS NOT NULL) AS known
),

used AS (
    SELECT
        (prompts.number << 32) + users.number AS pair,
        usage_events.scene,
        usage_events.environment,
        usage_events.outfit
    FROM usage_events
    INNER JOIN users ON users.user_id = usage_events.user_id
    INNER JOIN prompts ON prompts.prompt_id = usage_events.prompt_id
),

unique_users AS (
    SELECT pair >> 32 AS prompt_number, 'scene' AS dimension, scene AS value, count(*) AS unique_users
    FROM (SELECT DISTINCT pair, scene FROM used) AS scenes
    GROUP BY prompt_number, scene
    UNION ALL
    SELECT pair >> 32 AS prompt_number, 'environment' AS dimension, environment AS value, count(*) AS unique_users
    FROM (SELECT DISTINCT pair, environment FROM used) AS environments
    GROUP BY prompt_number, environment
    UNION ALL
    SELECT pair >> 32 AS prompt_number, 'outfit' AS dimension, outfit AS value, count(*) AS unique_users
    FROM (SELECT DISTINCT pair, outfit FROM used) AS outfits
    GROUP BY prompt_number, outfit
),

counted AS (
    SELECT
        prompt_id,
        CASE
            WHEN grouping(scene) = 0 THEN 'scene'
            WHEN grouping(environment) = 0 THEN 'environment'
            ELSE 'outfit'
        END                                                                    AS dimension,
        CASE
            WHEN grouping(scene) = 0 THEN scene
            WHEN grouping(environment) = 0 THEN environment
            ELSE outfit
        END                                                                    AS value,
        count(*)                                                               AS usage_count,
        count(generation_time_ms)                                              AS timed_count,
        min(generation_time_ms)                                                AS generation_time_ms_min,
        max(generation_time_ms)                                                AS generation_time_ms_max,
        quantile_disc(generation_time_ms, [0.50, 0.90, 0.95, 0.99])            AS percentiles,
        count(CASE WHEN day = $today - 1 THEN 1 END)                           AS usage_count_1d,
        count(CASE WHEN day BETWEEN $today - 7 AND $today - 1 THEN 1 END)      AS usage_count_7d,
        count(CASE WHEN day BETWEEN $today - 30 AND $today - 1 THEN 1 END)     AS usage_count_30d,
        count(CASE WHEN day = $today - 2 THEN 1 END)                           AS usage_count_previous_1d,
        count(CASE WHEN day BETWEEN $today - 14 AND $today - 8 THEN 1 END)     AS usage_count_previous_7d,
        count(CASE WHEN day BETWEEN $today - 60 AND $today - 31 THEN 1 END)    AS usage_count_previous_30d
    FROM usage_events
    GROUP BY GROUPING SETS ((prompt_id, scene), (prompt_id, environment), (prompt_id, outfit))
)

SELECT
    counted.* EXCLUDE (percentiles),
    list_transform(
        counted.percentiles,
        lambda ms: CASE WHEN ms > 0 THEN CAST(ceil(ln(ms) / ln(1.02e0 / 0.98e0)) AS INTEGER) ELSE -1 END
    )                                          AS time_buckets,
    coalesce(unique_users.unique_users, 0)     AS unique_users
FROM counted
INNER JOIN prompts ON prompts.prompt_id = counted.prompt_id
LEFT JOIN unique_users
    ON
        unique_users.prompt_number = prompts.number
        AND unique_users.dimension = counted.dimension
        AND unique_users.value IS NOT DISTINCT FROM counted.value
