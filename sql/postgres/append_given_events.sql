-- Purpose: appends the events of a batch, and keeps those that can't be taken; answers with the latter.
-- Grain:   one row an event.
-- Time:    created_at.
-- An event id that is there already changes nothing, so a batch whose answer was lost can be sent again.
-- Ids that are not UUIDs come as slugs. An unknown slug is rejected, but not if the event was taken before its prompt was renamed or removed.
-- ingest_xid keeps its default, by which the pipeline finds the row.
WITH named AS MATERIALIZED (
    SELECT
        given.*,
        coalesce(given.prompt_id, by_id.id, by_slug.id) AS used_prompt_id
    FROM prompt_usage_given AS given
    LEFT JOIN prompts AS by_id ON by_id.id::text = given.slug
    LEFT JOIN prompts AS by_slug ON by_slug.slug = given.slug
),

appended AS (
    INSERT INTO prompt_usage (
        id,
        prompt_id,
        user_id,
        character_id,
        post_id,
        job_id,
        scene,
        environment,
        outfit,
        success,
        generation_time_ms,
        error_message,
        created_at
    )
    SELECT
        event_id,
        used_prompt_id,
        user_id,
        character_id,
        post_id,
        job_id,
        scene,
        environment,
        outfit,
        success,
        generation_time_ms,
        error_message,
        created_at
    FROM named
    WHERE used_prompt_id IS NOT NULL
    ON CONFLICT (id) DO NOTHING
),

refused AS (
    SELECT
        event_id,
        coalesce(reason, pg_catalog.format('no prompt has the slug %L', slug)) AS reason,
        coalesce(
            payload,
            jsonb_strip_nulls(
                pg_catalog.jsonb_build_object(
                    'event_id', event_id,
                    'prompt_id', slug,
                    'user_id', user_id,
                    'character_id', character_id,
                    'post_id', post_id,
                    'job_id', job_id,
                    'scene', scene,
                    'environment', environment,
                    'outfit', outfit,
                    'success', success,
                    'generation_time_ms', generation_time_ms,
                    'error_message', error_message,
                    'created_at', created_at
                )
            )
        )                                                           AS payload
    FROM named
    WHERE
        used_prompt_id IS NULL
        AND NOT EXISTS (SELECT FROM prompt_usage WHERE prompt_usage.id = named.event_id)
),

kept AS (
    INSERT INTO prompt_usage_rejected (event_id, reason, payload)
    SELECT
        event_id::text::uuid,
        reason,
        payload
    FROM refused
    ON CONFLICT (event_id) DO NOTHING
)

SELECT
    event_id::text::uuid AS event_id,
    reason
FROM refused
