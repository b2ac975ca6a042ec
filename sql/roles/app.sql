-- Purpose: what the app's role needs to append events, and to keep those that can't be taken.
-- Grain:   one role, which exists: psql -v role=app -f sql/roles/app.sql.
-- Time:    none.
-- The tables are in the schema public, or in that of -v schema=app; views of them, where the app has other names
-- than ours, in prompt_stats, or in that of -v views=its_views.
-- ON CONFLICT reads the ids; nothing else of an event can be read. INSERT is on every column, ingest_xid too,
-- since Drizzle names all, with DEFAULT for that one; a trigger replaces any other value.
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
-- For the temporary table through which a tracker's batch goes.
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT INSERT, SELECT (id) ON prompt_usage TO :"role";
GRANT SELECT (id, slug, deleted_at) ON prompts TO :"role";
GRANT INSERT (event_id, reason, payload), SELECT (event_id) ON prompt_usage_rejected TO :"role";
