-- Purpose: which prompt a text names: by its id before by its slug, a living one before a deleted one.
-- Grain:   one row per key and prompt that it names equally well: none if it names nothing, several if it is ambiguous.
-- Time:    now.
-- An id is compared as the app spells it; of a column of uuids, any spelling is the same id.
WITH ids AS (
    SELECT coalesce(nullif(type.typbasetype, 0), type.oid) = 'uuid'::regtype AS are_uuids
    FROM pg_attribute AS attribute
    INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
    WHERE attribute.attrelid = 'prompts'::regclass AND attribute.attname = 'id'
),

asked AS (
    SELECT
        given.key,
        CASE
            WHEN NOT ids.are_uuids THEN given.key
            WHEN given.key ~* '^(urn:uuid:)?\{?(-?[0-9a-f]){32}\}?$'
                THEN translate(regexp_replace(lower(given.key), '^urn:uuid:', ''), '{}-', '')::uuid::text
        END AS id
    FROM (SELECT DISTINCT unnest(CAST(%(keys)s AS text [])) AS key) AS given
    CROSS JOIN ids
),

candidate AS (
    SELECT
        asked.key,
        prompt.id,
        1 AS rank
    FROM asked
    INNER JOIN prompts AS prompt ON prompt.id::text = asked.id
    UNION ALL
    SELECT
        asked.key,
        prompt.id,
        CASE WHEN prompt.deleted_at IS NULL THEN 2 ELSE 3 END AS rank
    FROM asked
    INNER JOIN prompts AS prompt ON prompt.slug::text = asked.key
)

SELECT
    best.key,
    best.id
FROM (
    SELECT
        candidate.*,
        min(candidate.rank) OVER (PARTITION BY candidate.key) AS best_rank
    FROM candidate
) AS best
WHERE best.rank = best.best_rank
GROUP BY best.key, best.id
ORDER BY best.key, best.id
