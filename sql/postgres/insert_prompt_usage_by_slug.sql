-- Purpose: appends an event whose prompt is given by its slug, or an id that is no UUID, and says whether the event is in the table.
-- Grain:   one row an event; answers with one row.
-- Time:    created_at.
-- is_taken is false only for an unknown slug: an event that was taken before its prompt was renamed or
-- removed stays taken when it is sent again.
WITH prompt AS (
    SELECT id FROM prompts WHERE id::text = %(slug)s OR slug = %(slug)s
    ORDER BY id::text = %(slug)s DESC
    LIMIT 1
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
        %(event_id)s,
        prompt.id,
        %(user_id)s,
        %(character_id)s,
        %(post_id)s,
        %(job_id)s,
        %(scene)s,
        %(environment)s,
        %(outfit)s,
        %(success)s,
        %(generation_time_ms)s,
        %(error_message)s,
        %(created_at)s
    FROM prompt
    ON CONFLICT (id) DO NOTHING
)

SELECT
    EXISTS (SELECT FROM prompt)
    OR EXISTS (SELECT FROM prompt_usage WHERE id = %(event_id)s) AS is_taken
