-- Purpose: the prompts with the most failures, and the kinds of errors that they see most.
-- Grain:   one row per prompt and kind of error; a prompt without messages has one row, its error_kind NULL.
-- Time:    as_of.
-- An error counts if the event has a message, whatever its success says.
WITH settings AS (
    -- Yours to change: how many prompts, and how many kinds of each.
    SELECT
        10 AS prompts_max,
        3  AS kinds_max
),

failing AS (
    SELECT
        prompt_id,
        usage_count,
        failure_count
    FROM prompt_stats
    WHERE failure_count > 0
    ORDER BY failure_count DESC, prompt_id
    LIMIT (SELECT prompts_max FROM settings)
),

kinds AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY prompt_id ORDER BY error_count DESC, error_kind) AS place
    FROM prompt_error_stats
)

SELECT
    failing.prompt_id,
    prompts.slug,
    failing.usage_count,
    failing.failure_count,
    -- Percent of all events.
    failing.failure_count * 100.0 / failing.usage_count        AS failure_rate,
    kinds.error_kind,
    kinds.error_count,
    kinds.last_seen_at,
    (SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1) AS as_of
FROM failing
LEFT JOIN prompts ON prompts.id = failing.prompt_id
LEFT JOIN kinds
    ON kinds.prompt_id = failing.prompt_id AND kinds.place <= (SELECT kinds_max FROM settings)
ORDER BY failing.failure_count DESC, failing.prompt_id, kinds.place
