-- Purpose: the posts that no usage event in the lake is about.
-- Reads:   posts (post_id), usage_events (post_id).
-- Grain:   one row a post.
-- Time:    none.
SELECT posts.post_id
FROM posts
WHERE NOT EXISTS (SELECT 1 FROM usage_events WHERE usage_events.post_id = posts.post_id)
