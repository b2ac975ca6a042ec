{% macro scene_day() %}
    count(*)                                    AS usage_count,
    count(CASE WHEN success THEN 1 END)         AS success_count,
    count(CASE WHEN NOT success THEN 1 END)     AS failure_count,
    count(generation_time_ms)                   AS timed_count,
    CAST(sum(generation_time_ms) AS BIGINT)     AS time_ms_sum,
    max(created_at)                             AS last_used_at
{% endmacro %}

{% macro totals(of) %}
SELECT
    prompt_id,
    CAST(sum(usage_count) AS BIGINT)            AS usage_count,
    CAST(sum(success_count) AS BIGINT)          AS success_count,
    CAST(sum(failure_count) AS BIGINT)          AS failure_count,
    CAST(sum(time_ms_sum) AS DOUBLE PRECISION) / NULLIF(sum(timed_count), 0) AS avg_time_ms,
    max(last_used_at)                           AS last_used_at
FROM {{ of }}
GROUP BY prompt_id
{% endmacro %}
