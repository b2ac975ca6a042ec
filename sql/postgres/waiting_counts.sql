-- Purpose: what waits for somebody or something: rejected events, notes of changed days.
-- Grain:   one row.
-- Time:    now.
SELECT
    (SELECT count(*) FROM prompt_usage_rejected)     AS rejected_count,
    (SELECT count(*) FROM prompt_usage_invalidation) AS invalidation_count,
    (SELECT count(*) FROM prompts)                   AS prompt_count
