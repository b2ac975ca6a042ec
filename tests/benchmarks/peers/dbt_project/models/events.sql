{{ config(materialized='view', event_time='day', enabled=target.type == 'duckdb') }}
SELECT * FROM read_parquet('{{ var("events") }}/*/*.parquet', hive_partitioning = true)
