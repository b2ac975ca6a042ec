-- Purpose: the indexes of a table that may be made after its rows, that of its primary key included.
-- Grain:   one row per index; none unless the session's role owns the table.
-- Time:    now.
SELECT
    CASE
        WHEN primary_key.oid IS NULL THEN pg_catalog.format('DROP INDEX %s', index.indexrelid::regclass)
        ELSE pg_catalog.format(
            'ALTER TABLE %s DROP CONSTRAINT %I', relation.oid::regclass, primary_key.conname
        )
    END AS dropping,
    CASE
        WHEN primary_key.oid IS NULL THEN pg_get_indexdef(index.indexrelid)
        ELSE pg_catalog.format(
            'ALTER TABLE %s ADD CONSTRAINT %I %s',
            relation.oid::regclass,
            primary_key.conname,
            pg_get_constraintdef(primary_key.oid)
        )
    END AS making
FROM pg_index AS index
INNER JOIN pg_class AS relation ON relation.oid = index.indrelid
LEFT JOIN pg_constraint AS primary_key
    ON primary_key.conindid = index.indexrelid AND primary_key.contype = 'p'
WHERE
    relation.oid = to_regclass(:table)
    AND pg_has_role(relation.relowner, 'USAGE')
    AND (primary_key.oid IS NOT NULL OR NOT index.indisunique)
    AND NOT (index.indisexclusion OR index.indisreplident OR index.indisclustered)
    AND index.indisvalid
    -- A foreign key rests on it.
    AND NOT EXISTS (
        SELECT 1 FROM pg_constraint AS other WHERE other.conindid = index.indexrelid AND other.contype = 'f'
    )
ORDER BY making
