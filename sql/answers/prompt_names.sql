-- Purpose: what people call some prompts.
-- Grain:   one row per prompt of :prompts that there is.
-- Time:    now.
SELECT
    id::text             AS prompt_id,
    coalesce(slug, name) AS name
FROM prompts
WHERE id::text = ANY(CAST(:prompts AS text []))
