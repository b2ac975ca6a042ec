-- Purpose: which kinds of errors a prompt's events of each scene, environment and outfit have.
-- Grain:   prompt x dimension x value x error kind, NULL being a value.
-- Time:    all of the input; last_seen_at is the time of the latest dated event.
-- Reads usage_events, and error_kinds, of each error_message its error_kind. Runs unchanged on DuckDB and Spark.
SELECT
    usage_events.prompt_id,
    CASE
        WHEN grouping(usage_events.scene) = 0 THEN 'scene'
        WHEN grouping(usage_events.environment) = 0 THEN 'environment'
        ELSE 'outfit'
    END                              AS dimension,
    CASE
        WHEN grouping(usage_events.scene) = 0 THEN usage_events.scene
        WHEN grouping(usage_events.environment) = 0 THEN usage_events.environment
        ELSE usage_events.outfit
    END                              AS value,
    error_kinds.error_kind,
    count(*)                         AS error_count,
    max(usage_events.created_at)     AS last_seen_at
FROM usage_events
INNER JOIN error_kinds ON error_kinds.error_message = usage_events.error_message
GROUP BY
    GROUPING SETS (
        (usage_events.prompt_id, usage_events.scene, error_kinds.error_kind),
        (usage_events.prompt_id, usage_events.environment, error_kinds.error_kind),
        (usage_events.prompt_id, usage_events.outfit, error_kinds.error_kind)
    )
