-- Purpose: usage of some prompts day by day, days without use included.
-- Grain:   one row a pair of :ids and :slugs, in their order; prompt_id NULL where there is no such prompt.
-- Time:    day (UTC), from :from_day to :to_day, both included.
WITH asked AS (
    SELECT
        pair.place,
        prompt.id AS prompt_id
    FROM unnest(CAST(%(ids)s AS text []), CAST(%(slugs)s AS text [])) WITH ORDINALITY AS pair (id, slug, place)
    LEFT JOIN LATERAL (
        SELECT id
        FROM prompts
        WHERE id::text = pair.id OR slug = pair.slug
        ORDER BY id::text = pair.id DESC
        LIMIT 1
    ) AS prompt ON true
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
    asked.prompt_id,
    array_agg(coalesce(used.usage_count, 0) ORDER BY calendar.day) AS usage_counts
FROM asked
CROSS JOIN generate_series(
    CAST(%(from_day)s AS timestamp), CAST(%(to_day)s AS timestamp), '1 day'
) AS calendar (day)
LEFT JOIN used ON used.prompt_id = asked.prompt_id AND used.day = calendar.day::date
GROUP BY asked.place, asked.prompt_id
ORDER BY asked.place
