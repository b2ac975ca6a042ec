-- Purpose: the posts that were made from a prompt, for comparison with the usage events.
-- Grain:   one row per post.
-- Time:    created_at, before $1.
SELECT id::text AS post_id
FROM posts
WHERE prompt_id IS NOT NULL AND created_at < $1::timestamptz
