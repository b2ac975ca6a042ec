-- Purpose: the posts that no usage event in the lake is about.
-- Grain:   one row per post.
-- Time:    none.
-- Reads posts and usage_events. Runs on DuckDB alone: it is no rollup, and the posts are sent from here.
SELECT posts.post_id
FROM posts
WHERE NOT EXISTS (SELECT 1 FROM usage_events WHERE usage_events.post_id = posts.post_id)
