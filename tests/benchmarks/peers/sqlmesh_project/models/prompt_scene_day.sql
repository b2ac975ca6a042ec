MODEL (
  name peers.prompt_scene_day,
  kind INCREMENTAL_BY_TIME_RANGE (time_column day, lookback 3),
  cron '@daily',
  allow_partials true,
  grain (day, prompt_id, scene)
);

SELECT
  day,
  prompt_id,
  scene,
  count(*) AS usage_count,
  count(CASE WHEN success THEN 1 END) AS success_count,
  count(CASE WHEN NOT success THEN 1 END) AS failure_count,
  count(generation_time_ms) AS timed_count,
  CAST(sum(generation_time_ms) AS BIGINT) AS time_ms_sum,
  max(created_at) AS last_used_at
FROM read_parquet(@events || '/*/*.parquet', hive_partitioning = true)
WHERE day BETWEEN @start_date AND @end_date
GROUP BY day, prompt_id, scene
