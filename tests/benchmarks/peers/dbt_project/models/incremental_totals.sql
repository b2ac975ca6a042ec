{{ config(materialized='table') }}
{{ totals(ref('incremental_scene_day')) }}
