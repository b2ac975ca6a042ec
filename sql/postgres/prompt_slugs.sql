-- Purpose: the slugs that exist, to suggest one for a misspelt key.
-- Grain:   one row per prompt with a slug.
-- Time:    now.
SELECT slug
FROM prompts
WHERE slug IS NOT NULL
ORDER BY slug
