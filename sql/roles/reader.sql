-- Purpose: what an analyst's role may do: read the stats, not the raw events.
-- Grain:   one role, which exists: psql -v role=analyst -f sql/roles/reader.sql.
-- Time:    none.
-- The tables are in the schema public, or in that of -v schema=app.
-- Of users it sees the ids, in user_prompt_stats, prompt_favorites and prompts.created_by.
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
GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON
    prompts,
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
    stats_refresh,
    stats_alerts,
    stats_alert_evaluation,
    -- Says whether the schema is that of the command: for prompt-stats top, show and export.
    prompt_stats_schema_version
TO :"role";
GRANT SELECT (user_id, prompt_id) ON prompt_favorites TO :"role";
