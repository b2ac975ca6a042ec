-- Purpose: the ten most used prompts: the app's own query, which reads the counters that are written back.
-- Grain:   one row per prompt that is active; most used first.
-- Time:    stats_as_of, of the counters.
SELECT
    p.id,
    p.name,
    p.usage_count,
    p.success_count,
    (p.success_count::float / nullif(p.usage_count, 0) * 100) AS success_rate
FROM prompts AS p
WHERE p.is_active = true
ORDER BY p.usage_count DESC
LIMIT 10
