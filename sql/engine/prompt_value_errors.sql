-- Purpose: which error messages a prompt's events have, by scene, environment and outfit together.
-- Grain:   prompt x scene x environment x outfit x message, NULL being a value of the three.
-- Time:    all of the input; last_seen_at is the time of the latest dated event.
-- Reads usage_events. Messages are folded into kinds afterwards, so that one place says how.
SELECT
    prompt_id,
    scene,
    environment,
    outfit,
    error_message,
    count(*)           AS error_count,
    max(created_at)    AS last_seen_at
FROM usage_events
WHERE error_message IS NOT NULL
GROUP BY prompt_id, scene, environment, outfit, error_message
