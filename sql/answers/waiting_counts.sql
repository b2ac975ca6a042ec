-- Purpose: what waits for somebody or something: rejected events, notes of changed days, damaged days.
-- Grain:   one row.
-- Time:    now.
SELECT
    (SELECT count(*) FROM prompt_usage_rejected)     AS rejected_count,
    (SELECT count(*) FROM prompt_usage_invalidation) AS invalidation_count,
    (SELECT count(*) FROM prompts)                   AS prompt_count,
    (SELECT count(*) FROM stats_expired_day)         AS expired_day_count,
    (
        SELECT count(*) FROM stats_expired_day WHERE partition IS NOT NULL
    )                                                AS dropped_day_count,
    ARRAY(
        SELECT day FROM stats_expired_day WHERE damaged_at IS NOT NULL ORDER BY day
    )                                                AS damaged_days
