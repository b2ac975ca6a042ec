-- Purpose: what stands where an installation's views belong, and is no view of its tables.
-- Grain:   one row per relation of the schema :views with a name among :names.
-- Time:    now.
-- source: the tables that a view reads; NULL for what is no view. Only the catalog is read, since the role may
-- have no right to use the schema of another installation.
SELECT
    pg_catalog.format('%I.%I', views.nspname, relation.relname)         AS name,
    string_agg(DISTINCT source.name, ', ')                   AS source
FROM pg_namespace AS views
INNER JOIN pg_class AS relation ON relation.relnamespace = views.oid
LEFT JOIN pg_rewrite AS rule ON rule.ev_class = relation.oid AND rule.rulename = '_RETURN'
LEFT JOIN pg_depend AS depend
    ON depend.classid = CAST('pg_rewrite' AS regclass)
    AND depend.objid = rule.oid
    AND depend.refclassid = CAST('pg_class' AS regclass)
    AND depend.refobjid <> relation.oid
LEFT JOIN (
    SELECT
        pg_class.oid,
        namespace.nspname                                        AS schema_name,
        pg_catalog.format('%I.%I', namespace.nspname, pg_class.relname)     AS name
    FROM pg_class
    INNER JOIN pg_namespace AS namespace ON namespace.oid = pg_class.relnamespace
) AS source ON source.oid = depend.refobjid
WHERE views.nspname = :views AND relation.relname = ANY(CAST(:names AS text[]))
GROUP BY views.nspname, relation.relname
HAVING bool_or(source.schema_name IS DISTINCT FROM :schema)
ORDER BY name
