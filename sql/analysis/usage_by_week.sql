-- Purpose: usage by week over all prompts, weeks without use included.
-- Grain:   one row per week from the first with events on; the latest first.
-- Time:    week, its Monday (UTC). Undated events are in the week of PROMPT_STATS_START_DATE.
WITH refresh AS (
    SELECT
        as_of,
        (as_of AT TIME ZONE 'UTC')::date AS today
    FROM stats_refresh
    ORDER BY id DESC
    LIMIT 1
),

weeks AS (
    SELECT
        date_trunc('week', day::timestamp)::date AS week,
        sum(usage_count)::bigint                 AS usage_count,
        sum(success_count)::bigint               AS success_count,
        sum(failure_count)::bigint               AS failure_count,
        count(DISTINCT prompt_id)                AS prompt_count
    FROM prompt_daily_stats
    GROUP BY 1
),

calendar AS (
    SELECT week::date AS week
    FROM
        generate_series(
            (SELECT min(week) FROM weeks)::timestamp,
            (SELECT greatest(max(weeks.week), max(refresh.today)) FROM weeks, refresh)::timestamp,
            '7 days'
        ) AS mondays (week)
)

SELECT
    calendar.week,
    calendar.week + 7 <= refresh.today                              AS is_over,
    coalesce(weeks.usage_count, 0)                                  AS usage_count,
    coalesce(weeks.success_count, 0)                                AS success_count,
    coalesce(weeks.failure_count, 0)                                AS failure_count,
    -- Percent; NULL in a week without use.
    weeks.success_count::double precision / weeks.usage_count * 100 AS success_rate,
    coalesce(weeks.prompt_count, 0)                                 AS prompt_count,
    refresh.as_of
FROM calendar
CROSS JOIN refresh
LEFT JOIN weeks ON weeks.week = calendar.week
ORDER BY calendar.week DESC
