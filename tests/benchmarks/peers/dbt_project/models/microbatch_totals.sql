{{ config(materialized='table', enabled=target.type == 'duckdb') }}
{{ totals(ref('microbatch_scene_day')) }}
