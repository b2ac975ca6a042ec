-- Purpose: the schema in which the app's tables are found, or would be made.
-- Grain:   one row.
-- Time:    now.
SELECT coalesce(
    (
        SELECT namespace.nspname
        FROM pg_class AS relation
        INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
        WHERE relation.oid = coalesce(to_regclass('prompt_usage'), to_regclass('prompts'))
    ),
    current_schema(),
    'public'
) AS schema
