{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='day') }}
{#- The days of the last three, as a literal: so files, and pages of the raw table, are left out. -#}
{%- if is_incremental() -%}
    {%- if var('first', none) -%}
        {%- set first, end = "date '" ~ var('first') ~ "'", "date '" ~ var('last') ~ "' + 1" -%}
    {%- else -%}
        {%- set latest = run_query('SELECT max(day) AS day FROM ' ~ this).columns[0].values()[0] -%}
        {%- set first, end = "date '" ~ latest ~ "' - 3", "date '9999-01-01'" -%}
    {%- endif -%}
{%- endif -%}
{%- if target.type == 'duckdb' %}
SELECT day, prompt_id, scene, {{ scene_day() }}
FROM {{ ref('events') }}
{%- if is_incremental() %}
WHERE day >= {{ first }} AND day < {{ end }}
{%- endif %}
GROUP BY day, prompt_id, scene
{%- else %}
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, prompt_id, scene, {{ scene_day() }}
FROM public.prompt_usage
{%- if is_incremental() %}
WHERE created_at >= ({{ first }})::timestamp AT TIME ZONE 'UTC'
    AND created_at < ({{ end }})::timestamp AT TIME ZONE 'UTC'
{%- endif %}
GROUP BY 1, 2, 3
{%- endif %}
