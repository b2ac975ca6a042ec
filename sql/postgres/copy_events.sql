-- Purpose: appends a batch of events whose prompts are given by their ids; fails as a whole if an event id is there.
-- Grain:   one row an event; columns in the order of the event's fields, without the slug.
-- Time:    created_at.
-- ingest_xid keeps its default, by which the pipeline finds the row.
COPY prompt_usage (
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
) FROM STDIN (FORMAT binary)
