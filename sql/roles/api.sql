-- Purpose: what the role of prompt-stats serve needs besides reader.sql and app.sql.
-- Grain:   one role, which exists: psql -v role=api -f sql/roles/api.sql.
-- Time:    none.
-- The tables are in the schema public, or in that of -v schema=app; views of them, where the app has other names
-- than ours, in prompt_stats, or in that of -v views=its_views.
\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema public
\endif
\if :{?views}
\else
\set views prompt_stats
\endif
-- Views of the tables of another installation are left alone.
SELECT EXISTS (
    SELECT FROM information_schema.view_table_usage
    WHERE view_schema = :'views' AND view_name = 'prompt_usage' AND table_schema = :'schema'
) AS has_views \gset
SET search_path TO :"schema";
\if :has_views
GRANT USAGE ON SCHEMA :"views" TO :"role";
SET search_path TO :"views", :"schema";
\endif
-- PUT and DELETE /users/{id}/favorites.
GRANT SELECT (id, sort_order), INSERT, UPDATE (sort_order), DELETE ON prompt_favorites TO :"role";
-- PUT and DELETE /prompts/{id}/markers.
GRANT INSERT, UPDATE (note), DELETE ON prompt_marker TO :"role";
-- GET /status and /metrics: which days the next refresh will look at, and what waits.
GRANT SELECT (created_at, ingest_xid) ON prompt_usage TO :"role";
GRANT SELECT ON
    prompt_usage_invalidation,
    stats_sync,
    stats_lake_token,
    stats_source,
    stats_expired_day
TO :"role";
