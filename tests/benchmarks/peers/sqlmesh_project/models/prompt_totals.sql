MODEL (
  name peers.prompt_totals,
  kind FULL,
  cron '@daily',
  allow_partials true
);

SELECT
  prompt_id,
  CAST(sum(usage_count) AS BIGINT) AS usage_count,
  CAST(sum(success_count) AS BIGINT) AS success_count,
  CAST(sum(failure_count) AS BIGINT) AS failure_count,
  CAST(sum(time_ms_sum) AS DOUBLE) / nullif(sum(timed_count), 0) AS avg_time_ms,
  max(last_used_at) AS last_used_at
FROM peers.prompt_scene_day
GROUP BY prompt_id
