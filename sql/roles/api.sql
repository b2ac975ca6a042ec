-- Purpose: what the role of prompt-stats serve needs besides reader.sql and app.sql.
-- Grain:   one role, which exists: psql -v role=api -f sql/roles/api.sql.
-- Time:    none.
-- The tables are in the schema public, or in that of -v schema=app.
\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema public
\endif
-- Where the app has other names than ours, views have ours.
SELECT to_regnamespace('prompt_stats') IS NOT NULL AS has_views \gset
SET search_path TO prompt_stats, :"schema";
\if :has_views
GRANT USAGE ON SCHEMA prompt_stats TO :"role";
\endif
-- PUT and DELETE /users/{id}/favorites.
GRANT SELECT (id, sort_order), INSERT, UPDATE (sort_order), DELETE ON prompt_favorites TO :"role";
-- GET /status and /metrics: which days the next refresh will look at, and what waits.
GRANT SELECT (created_at, ingest_xid) ON prompt_usage TO :"role";
GRANT SELECT ON
    prompt_usage_invalidation,
    stats_day,
    stats_sync,
    stats_source,
    stats_expired_day
TO :"role";
