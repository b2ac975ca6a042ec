-- Purpose: the prompts with the most failures, and the kinds of errors that they see most.
-- Grain:   one row per prompt and kind of error; a prompt without messages has one row, its error_kind NULL.
-- Time:    as_of.
-- Without those that fail less often than all active prompts together, as in the ranking of the API.
-- An error counts if the event has a message, whatever its success says.
-- -v prompts_max=10 says how many prompts, -v kinds_max=3 how many kinds of each.
\if :{?prompts_max}
\else
\set prompts_max 10
\endif
\if :{?kinds_max}
\else
\set kinds_max 3
\endif
WITH average AS (
    SELECT
        sum(stats.failure_count) AS failure_count,
        sum(stats.usage_count)   AS usage_count
    FROM prompt_stats AS stats
    INNER JOIN prompts ON prompts.id = stats.prompt_id
    WHERE prompts.is_active IS NOT FALSE AND prompts.deleted_at IS NULL
),

failing AS (
    SELECT
        stats.prompt_id,
        stats.usage_count,
        stats.failure_count
    FROM prompt_stats AS stats
    CROSS JOIN average
    WHERE
        stats.failure_count > 0
        AND (stats.failure_count * average.usage_count >= average.failure_count * stats.usage_count) IS NOT FALSE
    ORDER BY stats.failure_count DESC, stats.prompt_id
    LIMIT :prompts_max
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
    prompts.name,
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
    ON kinds.prompt_id = failing.prompt_id AND kinds.place <= :kinds_max
ORDER BY failing.failure_count DESC, failing.prompt_id, kinds.place
