-- Purpose: the counters of some prompt that no other transaction holds, to try a write-back with.
-- Grain:   one row, or none; it is locked until the end of the transaction.
-- Time:    now.
SELECT
    id::text                                 AS prompt_id,
    usage_count::bigint                      AS usage_count,
    success_count::bigint                    AS success_count,
    failure_count::bigint                    AS failure_count,
    success_rate::double precision           AS success_rate,
    avg_generation_time_ms::double precision AS avg_generation_time_ms,
    last_used_at::timestamptz                AS last_used_at,
    favorite_count::bigint                   AS favorite_count
FROM prompts
LIMIT 1
FOR UPDATE SKIP LOCKED
