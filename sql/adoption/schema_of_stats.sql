-- Purpose: the schema in which our own tables are found, or would be made.
-- Grain:   one row.
-- Time:    now.
SELECT coalesce(
    (
        SELECT namespace.nspname
        FROM pg_class AS relation
        INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
        WHERE relation.oid = to_regclass('stats_refresh')
    ),
    current_schema(),
    'public'
) AS schema
