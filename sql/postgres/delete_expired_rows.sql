-- Purpose: removes some of the raw rows of an expired day that the lake has.
-- Grain:   up to :rows rows.
-- Time:    day, from :from_time up to, and without, :to_time; ingest_xid below :high.
-- The first day has the undated rows and those before it.
DELETE FROM prompt_usage
WHERE
    ctid = ANY(
        ARRAY(
            SELECT ctid
            FROM prompt_usage
            WHERE
                (
                    created_at >= CAST(:from_time AS timestamp) AND created_at < CAST(:to_time AS timestamp)
                    OR :is_first_day AND (created_at IS NULL OR created_at < CAST(:from_time AS timestamp))
                )
                AND (ingest_xid < :high OR ingest_xid IS NULL)
            LIMIT :rows
        )
    )
