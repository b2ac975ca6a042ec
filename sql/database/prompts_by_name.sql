-- Purpose: which prompt a text names that is no id and no slug: by its name, a living prompt before a deleted one.
-- Grain:   one row per key and prompt that it names equally well: none if it names nothing, several if it is ambiguous.
-- Time:    now.
-- For those who read. Who writes events may not read names, which change: see named_prompts.sql.
WITH candidate AS (
    SELECT
        given.key,
        prompt.id,
        CASE WHEN prompt.deleted_at IS NULL THEN 1 ELSE 2 END AS rank
    FROM (SELECT DISTINCT unnest(CAST(%(keys)s AS text [])) AS key) AS given
    INNER JOIN prompts AS prompt ON prompt.name::text = given.key
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
