-- Purpose: brings prompt_stats.favorite_count up to date, and its rows of prompts that nobody used.
-- Grain:   one row per prompt that was written or deleted.
-- Time:    now; stats_as_of is :as_of.
WITH favorites AS (
    SELECT
        prompt_id,
        count(DISTINCT user_id) AS favorite_count
    FROM prompt_favorites
    GROUP BY prompt_id
),

wanted AS (
    SELECT
        coalesce(prompt.id, favorite.prompt_id)     AS prompt_id,
        coalesce(favorite.favorite_count, 0)        AS favorite_count
    FROM prompts AS prompt
    FULL JOIN favorites AS favorite ON favorite.prompt_id = prompt.id
),

different AS (
    SELECT
        coalesce(wanted.prompt_id, published.prompt_id)                 AS prompt_id,
        coalesce(wanted.favorite_count, 0)                              AS favorite_count,
        wanted.prompt_id IS NULL AND published.usage_count = 0          AS is_gone
    FROM wanted
    FULL JOIN prompt_stats AS published ON published.prompt_id = wanted.prompt_id
    WHERE
        published.prompt_id IS NULL
        OR published.favorite_count <> coalesce(wanted.favorite_count, 0)
        OR wanted.prompt_id IS NULL AND published.usage_count = 0
),

deleted AS (
    DELETE FROM prompt_stats AS published
    USING different
    WHERE different.is_gone AND published.prompt_id = different.prompt_id
    RETURNING 1
),

written AS (
    INSERT INTO prompt_stats (
        prompt_id,
        usage_count,
        success_count,
        failure_count,
        unique_users,
        usage_count_1d,
        usage_count_7d,
        usage_count_30d,
        usage_count_previous_1d,
        usage_count_previous_7d,
        usage_count_previous_30d,
        favorite_count,
        stats_as_of
    )
    SELECT
        prompt_id,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        favorite_count,
        :as_of
    FROM different
    WHERE NOT is_gone
    ON CONFLICT (prompt_id) DO UPDATE SET
        favorite_count = excluded.favorite_count,
        stats_as_of = excluded.stats_as_of
    RETURNING 1
)

SELECT (SELECT count(*) FROM deleted) + (SELECT count(*) FROM written) AS rows_written
