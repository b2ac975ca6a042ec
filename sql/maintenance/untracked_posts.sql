-- Purpose: those of some posts that no usage event is about, as what the tracker would have been given.
-- Grain:   one row per post, of those in post_ids, which the lake knows nothing of.
-- Time:    created_at, the post's own: the prompt was used no later.
-- What the lake can't have yet is looked up here: newer rows, events of days to come, rejected events.
SELECT
    posts.id              AS post_id,
    posts.prompt_id,
    posts.user_id,
    posts.character_id,
    posts.job_id,
    posts.scene,
    posts.environment,
    posts.outfit,
    posts.created_at,
    -- Only what was generated has an image; without one nobody knows.
    CASE WHEN posts.image_url IS NOT NULL THEN true END AS success
FROM posts
WHERE
    posts.id = ANY(%(post_ids)s)
    AND posts.prompt_id IS NOT NULL
    AND NOT EXISTS (
        SELECT
        FROM prompt_usage AS event
        WHERE
            event.post_id = posts.id
            AND (event.ingest_xid >= %(high)s OR event.created_at >= CAST(%(open_until)s AS date) + 1)
    )
    AND NOT EXISTS (
        SELECT FROM prompt_usage_rejected AS rejected WHERE rejected.payload ->> 'post_id' = posts.id::text
    )
ORDER BY posts.created_at, posts.id
