-- Purpose: appends an event whose prompt is given by its id; an event id that is there already changes nothing.
-- Grain:   one row an event.
-- Time:    created_at.
-- ingest_xid keeps its default, by which the pipeline finds the row.
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
VALUES (
    %(event_id)s,
    %(prompt_id)s,
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
)
ON CONFLICT (id) DO NOTHING
