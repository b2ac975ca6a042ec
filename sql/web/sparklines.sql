-- Purpose: usage of some prompts day by day, days without use included.
-- Grain:   one row per id of :prompt_ids, in their order.
-- Time:    day (UTC), from :from_day to :to_day, both included.
WITH asked AS (
    SELECT
        given.place,
        prompt.id AS prompt_id
    FROM unnest(CAST(%(prompt_ids)s AS text [])) WITH ORDINALITY AS given (id, place)
    INNER JOIN prompts AS prompt ON prompt.id::text = given.id
),

used AS (
    SELECT
        prompt_id,
        day,
        usage_count
    FROM prompt_daily_stats
    WHERE
        day BETWEEN CAST(%(from_day)s AS date) AND CAST(%(to_day)s AS date)
        AND prompt_id IN (SELECT prompt_id FROM asked)
)

SELECT
    asked.prompt_id::text AS prompt_id,
    array_agg(coalesce(used.usage_count, 0) ORDER BY calendar.day) AS usage_counts
FROM asked
CROSS JOIN generate_series(
    CAST(%(from_day)s AS timestamp), CAST(%(to_day)s AS timestamp), '1 day'
) AS calendar (day)
LEFT JOIN used ON used.prompt_id = asked.prompt_id AND used.day = calendar.day::date
GROUP BY asked.place, asked.prompt_id
ORDER BY asked.place
