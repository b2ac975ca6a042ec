-- Purpose: what prompts can be asked for by, to suggest one for a misspelt key.
-- Grain:   one row per prompt: its slug, or its name where it has none.
-- Time:    now.
SELECT coalesce(slug, name) AS key
FROM prompts
WHERE coalesce(slug, name) IS NOT NULL
ORDER BY key
