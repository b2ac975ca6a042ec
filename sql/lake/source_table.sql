-- Purpose: which table the raw events are in, and all that may change what it holds and fires no trigger.
-- Grain:   one row, or none where the table is not there.
-- Time:    now.
-- :table is its name as the app has it; :ours are our names of its columns, :theirs the app's, in one order;
-- :triggers are ours. What is read is the table, or the view over it that has our names.
-- columns: numbers, since a column that was dropped and made again keeps its name. triggers: xmin, since those
-- that were off for a while are as before otherwise; a changed function fires and may note nothing. unnoted: an
-- apply worker of logical replication fires no statement triggers, and a crash empties a table that is not logged.
WITH source AS (
    SELECT
        oid,
        relnamespace,
        relkind,
        relpersistence
    FROM pg_class
    WHERE oid = to_regclass(:table)
)

SELECT
    source.oid::bigint                                                              AS relation,
    source.relnamespace::regnamespace::text                                         AS schema,
    coalesce(pg_relation_filenode(source.oid)::bigint, 0)                           AS file_node,
    source.relkind IN ('r', 'p')                                                    AS is_table,
    row_security_active(to_regclass('prompt_usage'))                                AS is_filtered,
    source.relkind = 'p'                                                            AS is_partitioned,
    EXISTS (
        SELECT FROM pg_inherits
        WHERE inhrelid = source.oid OR inhparent = source.oid AND source.relkind <> 'p'
    )                                                                               AS is_inherited,
    EXISTS (
        SELECT
        FROM pg_partition_tree(source.oid) AS tree
        INNER JOIN pg_class AS relation ON relation.oid = tree.relid
        WHERE relation.relkind = 'f'
    )                                                                               AS has_foreign,
    (
        SELECT
            CASE
                WHEN bool_or(EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = relation.oid))
                    THEN 'logical replication'
                WHEN bool_or(relation.relpersistence <> 'p') THEN 'not logged'
            END
        FROM pg_class AS relation
        WHERE
            relation.oid = source.oid
            OR relation.oid IN (SELECT tree.relid FROM pg_partition_tree(source.oid) AS tree)
    )                                                                               AS unnoted,
    (
        SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('stats_source')
    )                                                                               AS schema_of_stats,
    source.oid = to_regclass('prompt_usage')
    OR EXISTS (
        SELECT
        FROM pg_rewrite
        INNER JOIN pg_depend ON pg_depend.classid = 'pg_rewrite'::regclass AND pg_depend.objid = pg_rewrite.oid
        WHERE
            pg_rewrite.ev_class = to_regclass('prompt_usage')
            AND pg_depend.refclassid = 'pg_class'::regclass
            AND pg_depend.refobjid = source.oid
    )                                                                               AS is_read,
    (
        SELECT
            string_agg(
                pg_catalog.concat_ws(
                    ' ',
                    named.ours,
                    attribute.attnum,
                    attribute.atttypid,
                    attribute.atttypmod,
                    CASE
                        WHEN attribute.attgenerated <> ''
                            THEN pg_get_expr(attrdef.adbin, attrdef.adrelid)
                    END,
                    (
                        WITH RECURSIVE based_on AS (
                            SELECT attribute.atttypid AS oid
                            UNION ALL
                            SELECT type.typbasetype
                            FROM based_on
                            INNER JOIN pg_type AS type ON type.oid = based_on.oid AND type.typtype = 'd'
                        )

                        SELECT string_agg(enum.enumlabel, ',' ORDER BY enum.enumsortorder)
                        FROM pg_enum AS enum
                        INNER JOIN based_on ON based_on.oid = enum.enumtypid
                    )
                ),
                E'\n'
                ORDER BY named.ours
            )
        FROM unnest(CAST(:ours AS text[]), CAST(:theirs AS name[])) AS named (ours, theirs)
        INNER JOIN pg_attribute AS attribute
            ON attribute.attrelid = source.oid AND attribute.attname = named.theirs AND attribute.attnum > 0
        LEFT JOIN pg_attrdef AS attrdef
            ON attrdef.adrelid = attribute.attrelid AND attrdef.adnum = attribute.attnum
    )                                                                               AS columns,
    (
        SELECT
            string_agg(
                pg_catalog.concat_ws(
                    ' ', tgname, pg_trigger.oid, pg_trigger.xmin, tgenabled, pg_proc.oid, pg_proc.xmin
                ),
                E'\n'
                ORDER BY tgname
            )
        FROM pg_trigger
        INNER JOIN pg_proc ON pg_proc.oid = tgfoid
        WHERE tgrelid = source.oid AND tgname = ANY (CAST(:triggers AS name[]))
    )                                                                               AS triggers
FROM source
