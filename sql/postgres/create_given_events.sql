-- Purpose: a temporary table for a batch of events on its way, empty at the end of each transaction.
-- Grain:   one row an event, or an event that its reader rejected; columns in the order of the COPY.
-- Time:    created_at.
-- Its types are those of the app's table, whose ids may be texts or numbers.
CREATE TEMPORARY TABLE IF NOT EXISTS prompt_usage_given ON COMMIT DELETE ROWS AS
SELECT
    id          AS event_id,
    prompt_id,
    NULL::text  AS slug,
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
    created_at,
    NULL::text  AS reason,
    NULL::jsonb AS payload
FROM prompt_usage
WITH NO DATA
