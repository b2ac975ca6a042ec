-- Purpose: appends the events of a batch to a table with partitions; those that are there already change nothing.
-- Grain:   one row per event.
-- Time:    created_at.
-- As insert_new_event.sql. Of several with one key in the batch the earliest counts.
INSERT INTO prompt_usage ({columns})
SELECT DISTINCT ON ({key}) {columns}
FROM {given} AS given
WHERE NOT EXISTS (SELECT FROM prompt_usage WHERE prompt_usage.{key} = given.{key})
ORDER BY {key}, created_at
