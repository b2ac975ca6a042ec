-- Purpose: what a column has to hold, so that the counters in the temporary table prompts_changed fit into it.
-- Grain:   one row per counter: its largest value as a whole number, if it is a count, and how many prompts have none.
-- Time:    none.
SELECT
    counter.name,
    max(counter.value)                                  AS largest,
    count(*) FILTER (WHERE counter.is_missing)          AS null_count
FROM prompts_changed AS changed
CROSS JOIN LATERAL (
    VALUES
    ('usage_count', changed.usage_count, changed.usage_count IS NULL),
    ('success_count', changed.success_count, changed.success_count IS NULL),
    ('failure_count', changed.failure_count, changed.failure_count IS NULL),
    ('success_rate', NULL, changed.success_rate IS NULL),
    ('avg_generation_time_ms', NULL, changed.avg_generation_time_ms IS NULL),
    ('last_used_at', NULL, changed.last_used_at IS NULL),
    ('favorite_count', changed.favorite_count, changed.favorite_count IS NULL)
) AS counter (name, value, is_missing)
GROUP BY counter.name
