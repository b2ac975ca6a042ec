-- Purpose: the columns of the table to which events are written, and what each can take.
-- Grain:   one row per column of the table prompt_usage, or of that below the view of this name.
-- Time:    now.
-- name: ours, of the table's or the view's column; NULL for one that the view does not show.
-- column_name: in the table. type: that beneath a domain. max_length: of varchar(n) and char(n); below: numbers that
-- numeric(p, s) takes are; both of a domain over them too. labels: of an enum.
-- is_required: it can't be NULL. is_generated: nothing can be written there. is_key: ON CONFLICT can name the column
-- alone; is_partial_key: where it is not NULL. With partitions nothing is unique by itself: then it is the column by
-- which a unique index begins, or which any index of what is not NULL has. is_partitioned: the table.
-- is_table: COPY can write to it, as to no view, nor where policies check what is written.
WITH relation AS (
    SELECT
        oid,
        relkind
    FROM pg_class
    WHERE oid = 'prompt_usage'::regclass
),

shown AS (
    SELECT
        attribute.attname::text AS name,
        attribute.attrelid      AS table_oid,
        attribute.attnum
    FROM relation
    INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
    WHERE relation.relkind <> 'v' AND attribute.attnum > 0 AND NOT attribute.attisdropped
    UNION ALL
    SELECT
        target.parts[1],
        target.parts[2]::oid,
        target.parts[3]::smallint
    FROM relation
    INNER JOIN pg_rewrite ON pg_rewrite.ev_class = relation.oid AND pg_rewrite.ev_type = '1'
    -- The list of what the view selects, with the table's column that each is.
    CROSS JOIN regexp_matches(
        pg_rewrite.ev_action::text,
        ':resname (\S+) :ressortgroupref \d+ :resorigtbl (\d+) :resorigcol (\d+)',
        'g'
    ) AS target (parts)
    WHERE relation.relkind = 'v'
)

SELECT
    shown.name,
    attribute.attname::text                                                             AS column_name,
    format_type(modified.oid, NULL)                                                     AS type,
    CASE
        WHEN modified.oid IN ('varchar'::regtype, 'bpchar'::regtype) THEN nullif(modified.typmod, -1) - 4
    END                                                                                 AS max_length,
    CASE
        WHEN modified.oid = 'numeric'::regtype AND modified.typmod >= 4
            THEN (10 ^ (modified.precision - modified.scale)::numeric - 10 ^ (-modified.scale)::numeric / 2)::float8
    END                                                                                 AS below,
    ARRAY(
        SELECT label.enumlabel::text
        FROM pg_enum AS label
        WHERE label.enumtypid = modified.oid
        ORDER BY label.enumsortorder
    )                                                                                   AS labels,
    attribute.attnotnull OR type.typnotnull                                             AS is_required,
    attribute.attgenerated <> '' OR attribute.attidentity = 'a'                         AS is_generated,
    attribute.atthasdef OR attribute.attidentity <> '' OR type.typdefault IS NOT NULL   AS has_default,
    EXISTS (
        SELECT FROM pg_index AS index
        WHERE
            index.indrelid = attribute.attrelid
            AND index.indisunique AND index.indimmediate AND index.indisvalid
            AND (index.indnkeyatts = 1 OR written.relkind = 'p') AND index.indkey[0] = attribute.attnum
            AND index.indexprs IS NULL AND index.indpred IS NULL
    )                                                                                   AS is_key,
    EXISTS (
        SELECT FROM pg_index AS index
        WHERE
            index.indrelid = attribute.attrelid
            AND (index.indisunique OR written.relkind = 'p') AND index.indimmediate AND index.indisvalid
            AND index.indnkeyatts = 1 AND index.indkey[0] = attribute.attnum
            AND pg_get_expr(index.indpred, index.indrelid) = pg_catalog.format('(%I IS NOT NULL)', attribute.attname)
    )                                                                                   AS is_partial_key,
    written.relkind = 'p'                                                               AS is_partitioned,
    (SELECT relation.relkind = 'r' AND NOT row_security_active(relation.oid) FROM relation)                                       AS is_table
FROM pg_attribute AS attribute
INNER JOIN pg_class AS written ON written.oid = attribute.attrelid
INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
CROSS JOIN LATERAL (
    SELECT
        given.*,
        (given.typmod - 4) >> 16                       AS precision,
        -- In eleven bits, since it may be negative.
        (((given.typmod - 4) & 2047) # 1024) - 1024    AS scale
    FROM (
        SELECT
            coalesce(nullif(type.typbasetype, 0), type.oid)                             AS oid,
            CASE type.typtype WHEN 'd' THEN type.typtypmod ELSE attribute.atttypmod END AS typmod
    ) AS given
) AS modified
LEFT JOIN shown ON shown.table_oid = attribute.attrelid AND shown.attnum = attribute.attnum
WHERE
    attribute.attrelid = (SELECT max(shown.table_oid) FROM shown)
    AND attribute.attnum > 0
    AND NOT attribute.attisdropped
