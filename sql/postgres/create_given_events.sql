-- Purpose: a temporary table for a batch of events on its way, empty at the end of each transaction.
-- Grain:   one row an event, or an event that its reader rejected; columns in the order of the COPY.
-- Time:    created_at.
CREATE TEMPORARY TABLE IF NOT EXISTS prompt_usage_given (
    event_id           uuid NOT NULL,
    prompt_id          uuid,
    slug               text,
    user_id            uuid,
    character_id       uuid,
    post_id            uuid,
    job_id             uuid,
    scene              text,
    environment        text,
    outfit             text,
    success            boolean,
    generation_time_ms integer,
    error_message      text,
    created_at         timestamptz,
    reason             text,
    payload            jsonb
) ON COMMIT DELETE ROWS
