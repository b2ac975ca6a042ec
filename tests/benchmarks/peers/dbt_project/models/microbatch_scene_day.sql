{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='day',
    begin=var('begin'), lookback=3, enabled=target.type == 'duckdb'
) }}
SELECT CAST(day AS DATE) AS day, prompt_id, scene, {{ scene_day() }}
FROM {{ ref('events') }}
GROUP BY day, prompt_id, scene
