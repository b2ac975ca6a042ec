-- Purpose: the prompts that nobody has ever used.
-- Grain:   one row a prompt that is active and not deleted; the oldest first.
-- Time:    as_of.
SELECT
    id,
    slug,
    name,
    category,
    favorite_count,
    created_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM prompts
WHERE usage_count = 0 AND is_active AND deleted_at IS NULL
ORDER BY created_at, id
