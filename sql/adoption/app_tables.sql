-- Purpose: what there is of some relations: themselves, columns, indexes, triggers, storage parameters.
-- Grain:   one row per thing.
-- Time:    now.
-- By kind: relation: pg_class.relkind, whether this role may alter it, rows as estimated; column: its type,
-- and its default; comment: that of the relation; relative: one that it inherits from, or is inherited by; index:
-- whether it is valid, and what it is; trigger: pg_trigger.tgenabled; parameter: its value; required: a column that
-- can't be NULL; generated: one that takes no value, or that the database numbers; key: one that is unique by itself,
-- as ON CONFLICT needs it, or, where partitions are in the way of that, by which a unique index begins; constraint: a
-- check, a foreign key or an exclusion; partitioned: its strategy, and the column by which its key begins; partition:
-- one at any depth, its pg_class.relkind, oid and schema, and the one above it; of partition: a trigger on one, with
-- pg_trigger.tgenabled if it came from the table, NULL if it is the partition's own.
-- A type is that beneath a domain; enum and ARRAY stand for all of them.
WITH source AS (
    SELECT
        wanted.place,
        relation.oid,
        relation.relkind,
        relation.relowner,
        relation.reltuples,
        relation.reloptions
    FROM unnest(CAST(:tables AS text[])) WITH ORDINALITY AS wanted (name, place)
    INNER JOIN pg_class AS relation ON relation.oid = to_regclass(wanted.name)
)

SELECT
    place,
    'relation'                              AS kind,
    relkind::text                           AS name,
    pg_has_role(relowner, 'USAGE')::text    AS type,
    greatest(reltuples, 0)::bigint::text    AS definition
FROM source
UNION ALL
SELECT
    place,
    'comment',
    NULL,
    NULL,
    obj_description(oid, 'pg_class')
FROM source
UNION ALL
SELECT
    source.place,
    'relative',
    pg_class.relname::text,
    NULL,
    NULL
FROM source
INNER JOIN pg_inherits ON source.oid = inhrelid OR source.oid = inhparent AND source.relkind <> 'p'
INNER JOIN pg_class ON pg_class.oid = CASE WHEN inhrelid = source.oid THEN inhparent ELSE inhrelid END
UNION ALL
SELECT
    source.place,
    'column',
    attribute.attname::text,
    CASE
        WHEN type.typtype = 'e' THEN 'enum'
        WHEN type.typcategory = 'A' THEN 'ARRAY'
        ELSE format_type(coalesce(nullif(type.typbasetype, 0), type.oid), NULL)
    END,
    pg_get_expr(attrdef.adbin, attrdef.adrelid)
FROM source
INNER JOIN pg_attribute AS attribute ON attribute.attrelid = source.oid
INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
LEFT JOIN pg_attrdef AS attrdef
    ON attrdef.adrelid = attribute.attrelid AND attrdef.adnum = attribute.attnum
WHERE attribute.attnum > 0 AND NOT attribute.attisdropped
UNION ALL
SELECT
    source.place,
    'index',
    relation.relname::text,
    index.indisvalid::text,
    pg_get_indexdef(index.indexrelid)
FROM source
INNER JOIN pg_index AS index ON index.indrelid = source.oid
INNER JOIN pg_class AS relation ON relation.oid = index.indexrelid
UNION ALL
SELECT
    source.place,
    'trigger',
    tgname::text,
    NULL,
    tgenabled::text
FROM source
INNER JOIN pg_trigger ON pg_trigger.tgrelid = source.oid
WHERE NOT tgisinternal
UNION ALL
SELECT
    source.place,
    fact.kind,
    attribute.attname::text,
    CASE
        WHEN fact.kind <> 'generated' THEN NULL
        WHEN attribute.attidentity = 'd' THEN 'by default'
        ELSE 'always'
    END,
    NULL
FROM source
INNER JOIN pg_attribute AS attribute ON attribute.attrelid = source.oid
INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
CROSS JOIN LATERAL (
    VALUES
    ('required', attribute.attnotnull OR type.typnotnull),
    ('generated', attribute.attgenerated <> '' OR attribute.attidentity <> ''),
    (
        'key',
        EXISTS (
            SELECT
            FROM pg_index AS index
            WHERE
                index.indrelid = attribute.attrelid
                AND index.indisunique AND index.indimmediate AND index.indisvalid
                AND (index.indnkeyatts = 1 OR source.relkind = 'p') AND index.indkey[0] = attribute.attnum
                AND index.indexprs IS NULL AND index.indpred IS NULL
        )
    )
) AS fact (kind, is_so)
WHERE attribute.attnum > 0 AND NOT attribute.attisdropped AND fact.is_so
UNION ALL
SELECT
    source.place,
    'constraint',
    conname::text,
    contype::text,
    pg_get_constraintdef(pg_constraint.oid)
FROM source
INNER JOIN pg_constraint ON pg_constraint.conrelid = source.oid
WHERE contype IN ('c', 'f', 'x')
UNION ALL
SELECT
    source.place,
    'parameter',
    split_part(parameter, '=', 1),
    NULL,
    split_part(parameter, '=', 2)
FROM source
CROSS JOIN unnest(source.reloptions) AS parameter
UNION ALL
SELECT
    source.place,
    'partitioned',
    attribute.attname::text,
    partitioned.partstrat::text,
    NULL
FROM source
INNER JOIN pg_partitioned_table AS partitioned ON partitioned.partrelid = source.oid
LEFT JOIN pg_attribute AS attribute
    ON attribute.attrelid = source.oid AND attribute.attnum = partitioned.partattrs[0] AND attribute.attnum > 0
UNION ALL
SELECT
    source.place,
    'partition',
    quote_ident(namespace.nspname) || '.' || quote_ident(relation.relname),
    pg_catalog.concat_ws(' ', relation.relkind, relation.oid, quote_ident(namespace.nspname)),
    quote_ident(above.nspname) || '.' || quote_ident(parent.relname)
FROM source
CROSS JOIN LATERAL pg_partition_tree(source.oid) AS tree
INNER JOIN pg_class AS relation ON relation.oid = tree.relid
INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
INNER JOIN pg_class AS parent ON parent.oid = tree.parentrelid
INNER JOIN pg_namespace AS above ON above.oid = parent.relnamespace
WHERE tree.level > 0
UNION ALL
SELECT
    source.place,
    'of partition',
    quote_ident(namespace.nspname) || '.' || quote_ident(relation.relname),
    tgname::text,
    CASE WHEN tgparentid <> 0 THEN tgenabled::text END
FROM source
CROSS JOIN LATERAL pg_partition_tree(source.oid) AS tree
INNER JOIN pg_class AS relation ON relation.oid = tree.relid
INNER JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
INNER JOIN pg_trigger ON pg_trigger.tgrelid = tree.relid
WHERE tree.level > 0 AND NOT tgisinternal
