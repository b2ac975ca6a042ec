-- Purpose: the prompts whose use grows or shrinks: the last days against as many before.
-- Grain:   one row per prompt that was used in either; what grew most first, what shrank most last.
-- Time:    day (UTC), the whole days before that of as_of: today would be compared with a whole day.
-- -v days=7 says how long each period is.
\if :{?days}
\else
\set days 7
\endif
WITH refresh AS (
    SELECT
        as_of,
        (as_of AT TIME ZONE 'UTC')::date AS today
    FROM stats_refresh
    ORDER BY id DESC
    LIMIT 1
),

used AS (
    SELECT
        daily.prompt_id,
        coalesce(sum(daily.usage_count) FILTER (WHERE daily.day >= refresh.today - :days), 0)::bigint
            AS usage_count,
        coalesce(sum(daily.usage_count) FILTER (WHERE daily.day < refresh.today - :days), 0)::bigint
            AS usage_count_before
    FROM prompt_daily_stats AS daily
    CROSS JOIN refresh
    WHERE daily.day >= refresh.today - 2 * :days AND daily.day < refresh.today
    GROUP BY daily.prompt_id
)

SELECT
    used.prompt_id,
    prompts.slug,
    prompts.name,
    used.usage_count,
    used.usage_count_before,
    used.usage_count - used.usage_count_before                            AS change,
    -- NULL where there was nothing before.
    (used.usage_count * 100.0 / nullif(used.usage_count_before, 0)) - 100 AS change_percent,
    (SELECT as_of FROM refresh)                                           AS as_of
FROM used
LEFT JOIN prompts ON prompts.id = used.prompt_id
ORDER BY change DESC, used.usage_count DESC, used.prompt_id
