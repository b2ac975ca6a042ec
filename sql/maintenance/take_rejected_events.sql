-- Purpose: takes rejected events away, to be tried again or discarded, and hands them out.
-- Grain:   one row per rejected event: those with the given ids, or the oldest between two ids.
-- Time:    none.
-- A payload is a text, since no JSON parser takes all that jsonb holds.
-- Those that somebody else is taking are left to him.
WITH taken AS (
    SELECT id
    FROM prompt_usage_rejected
    WHERE
        id > %(after)s
        AND id <= %(last)s
        AND (%(ids)s::bigint [] IS NULL OR id = ANY(%(ids)s::bigint []))
    ORDER BY id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)

DELETE FROM prompt_usage_rejected AS rejected
USING taken
WHERE taken.id = rejected.id
RETURNING rejected.id, rejected.payload::text
