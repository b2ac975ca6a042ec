-- Purpose: which of some Dagster runs are at work: their connections are named after them.
-- Grain:   one row per connection's name.
-- Time:    now.
SELECT DISTINCT application_name
FROM pg_stat_activity
WHERE application_name = ANY(%(names)s)
