-- Purpose: what the role of the schedule and of the commands needs, which owns none of the tables.
-- Grain:   one role, which exists: psql -v role=pipeline -f sql/roles/pipeline.sql.
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
-- For temporary tables, by way of which a publish writes.
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";

-- What the app writes. INSERT: track-missing, rejected replay. DELETE: retain, erase-user.
GRANT SELECT, INSERT, DELETE ON prompt_usage TO :"role";
-- So that a row whose id was made up, and is still to come, gets one of now and is counted.
GRANT UPDATE (ingest_xid) ON prompt_usage TO :"role";
GRANT SELECT, INSERT, DELETE ON prompt_usage_rejected TO :"role";
-- So that it may lock rows, which takes UPDATE on a column: this one can only be set to its default.
GRANT UPDATE (id) ON prompt_usage_rejected TO :"role";
GRANT SELECT, DELETE ON prompt_favorites TO :"role";
GRANT SELECT ON posts, prompt_marker TO :"role";

-- The counters that are written back, and no other column.
GRANT SELECT ON prompts TO :"role";
GRANT UPDATE (
    usage_count,
    success_count,
    failure_count,
    success_rate,
    avg_generation_time_ms,
    last_used_at,
    favorite_count,
    stats_as_of
) ON prompts TO :"role";

-- What is the pipeline's alone.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    prompt_stats,
    prompt_scene_stats,
    prompt_environment_stats,
    prompt_outfit_stats,
    scene_stats,
    environment_stats,
    outfit_stats,
    prompt_daily_stats,
    prompt_error_stats,
    prompt_value_stats,
    prompt_value_error_stats,
    user_prompt_stats,
    stats_day,
    user_stats_day,
    stats_sync,
    stats_lake_token,
    stats_source,
    stats_expired_day,
    stats_alerts,
    stats_alert_evaluation,
    stats_alert_message,
    prompt_usage_invalidation
TO :"role";
GRANT SELECT, INSERT, UPDATE ON stats_refresh TO :"role";
GRANT SELECT ON stats_freshness, prompt_stats_schema_version, stats_schema_change TO :"role";
