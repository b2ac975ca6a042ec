-- Purpose: the schemas that have a table of one of some names, and whether such a name leads there.
-- Grain:   one row per schema.
-- Time:    now.
-- A schema that the role may not use is skipped by the search path, whether or not that names it.
SELECT DISTINCT
    namespace.nspname                                       AS schema_name,
    has_schema_privilege(namespace.oid, 'USAGE')            AS is_usable,
    namespace.nspname = ANY (
        current_schemas(false)
        || regexp_split_to_array(replace(current_setting('search_path'), '"', ''), '\s*,\s*')::name[]
    )                                                       AS is_searched
FROM pg_class AS relation
INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relname = ANY (CAST(:names AS text[])) AND relation.relkind IN ('r', 'p', 'v', 'f')
