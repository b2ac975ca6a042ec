-- Purpose: what people call those of some prompts that are offered.
-- Grain:   one row per prompt of :prompts that is active and not deleted.
-- Time:    now.
SELECT
    id::text AS id,
    slug,
    name,
    category
FROM prompts
WHERE is_active IS NOT FALSE AND deleted_at IS NULL AND id::text = ANY(CAST(:prompts AS text []))
