-- Purpose: the raw rows of an expired day that may be removed if the lake has them.
-- Grain:   one row per event.
-- Time:    day, from $1 up to, and without, $2; ingest_xid below $4.
-- The first day, $3, has the undated rows and those before it. Read by ADBC, which numbers parameters.
SELECT
    tableoid::bigint AS relation,
    ctid::text       AS place,
    id::text         AS id
FROM prompt_usage
WHERE
    (
        created_at >= CAST($1 AS date) AND created_at < CAST($2 AS date)
        OR CAST($3 AS boolean)
        AND (created_at IS NULL OR created_at < CAST($1 AS date) OR created_at >= '10000-01-01')
    )
    AND (ingest_xid < CAST($4 AS bigint) OR ingest_xid IS NULL)
