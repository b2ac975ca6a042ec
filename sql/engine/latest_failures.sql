-- Purpose: the latest failed events, as examples; of one kind of error, where :error_kind is not NULL.
-- Grain:   one row per event, the latest first, undated ones last; :limit at most.
-- Time:    created_at, all of the input.
-- Reads usage_events, and error_kinds, of each error_message its error_kind. Messages are not answered: they may hold
-- ids, which their kinds do not. Runs on DuckDB alone: it is no rollup, and answers somebody who waits for less than a
-- job of Spark takes.
SELECT
    usage_events.id AS event_id,
    usage_events.created_at,
    usage_events.scene,
    usage_events.environment,
    usage_events.outfit,
    error_kinds.error_kind,
    usage_events.generation_time_ms + coalesce(usage_events.generation_time_ps, 0) / 1e9 AS generation_time_ms
FROM usage_events
LEFT JOIN error_kinds ON error_kinds.error_message = usage_events.error_message
WHERE
    NOT usage_events.success
    AND ($error_kind IS NULL OR error_kinds.error_kind = $error_kind)
ORDER BY usage_events.created_at DESC NULLS LAST, usage_events.id DESC
LIMIT $limit
