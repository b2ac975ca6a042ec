-- Purpose: what an analyst's role may do: read the stats, not the raw events.
-- Grain:   one role, which exists: psql -v role=analyst -f sql/roles/reader.sql.
-- Time:    none.
-- The tables are in the schema public, or in that of -v schema=app; views of them, where the app has other names
-- than ours, in prompt_stats, or in that of -v views=its_views.
-- Of users it sees the ids, in user_prompt_stats, prompt_favorites and prompts.created_by.
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
    prompt_marker,
    stats_refresh,
    stats_freshness,
    stats_alerts,
    stats_alert_evaluation,
    -- From which state of the lake each day was counted: for top, show and compare of some days.
    stats_day,
    -- Says whether the schema is that of the command: for prompt-stats top, show and export.
    prompt_stats_schema_version
TO :"role";
GRANT SELECT (user_id, prompt_id) ON prompt_favorites TO :"role";
