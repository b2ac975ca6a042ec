-- Purpose: the partitions of the table of raw events, and all that may change what each holds and fires no trigger.
-- Grain:   one row per partition right below the table; none where it has none.
-- Time:    now.
-- bound: as CREATE TABLE … PARTITION OF has it. state: a fingerprint of the partition and of all below it: their
-- files, and our triggers on them, which are others after a partition was detached and attached again.
-- relations: itself and all below it, if this role may drop it.
WITH tree AS (
    SELECT
        partition.relid,
        partition.parentrelid,
        partition.level
    FROM pg_partition_tree(to_regclass(:table)) AS partition
    WHERE partition.level > 0
)

SELECT
    top.relid::oid::bigint                                  AS relation,
    top.relid::text                                         AS name,
    pg_get_expr(relation.relpartbound, relation.oid)        AS bound,
    ARRAY(
        SELECT part.relid::oid::bigint
        FROM pg_partition_tree(top.relid) AS part
        WHERE pg_has_role(relation.relowner, 'USAGE')
    )                                                       AS relations,
    (
        SELECT
            md5(
                string_agg(
                    pg_catalog.concat_ws(
                        ' ',
                        part.relid::oid,
                        pg_relation_filenode(part.relid),
                        (
                            SELECT
                                string_agg(
                                    pg_catalog.concat_ws(' ', tgname, pg_trigger.oid, pg_trigger.xmin, tgenabled),
                                    ','
                                    ORDER BY tgname
                                )
                            FROM pg_trigger
                            WHERE tgrelid = part.relid AND tgname = ANY (CAST(:triggers AS name[]))
                        )
                    ),
                    E'\n'
                    ORDER BY part.relid::oid
                )
            )
        FROM pg_partition_tree(top.relid) AS part
    )                                                       AS state
FROM tree AS top
INNER JOIN pg_class AS relation ON relation.oid = top.relid
WHERE top.level = 1
ORDER BY 1
