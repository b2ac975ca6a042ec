-- Purpose: whether prompt_usage is a table with the types of our own, which the binary COPY needs; its ids.
-- Grain:   one row.
-- Time:    now.
-- A timestamp without a zone is the same eight bytes as one with, since sessions are in UTC.
SELECT
    relation.relkind = 'r' AND bool_and(
        CASE
            WHEN attribute.attname IN ('id', 'prompt_id', 'user_id', 'character_id', 'post_id', 'job_id')
                THEN attribute.atttypid = 'uuid'::regtype
            WHEN attribute.attname IN ('scene', 'environment', 'outfit', 'error_message')
                THEN attribute.atttypid IN ('text'::regtype, 'varchar'::regtype)
            WHEN attribute.attname = 'success' THEN attribute.atttypid = 'boolean'::regtype
            WHEN attribute.attname = 'generation_time_ms' THEN attribute.atttypid = 'integer'::regtype
            WHEN attribute.attname = 'created_at'
                THEN attribute.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
            ELSE true
        END
    ) AS is_our_own,
    min(format_type(attribute.atttypid, NULL)) FILTER (WHERE attribute.attname = 'id') AS id_type
FROM pg_class AS relation
INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
WHERE relation.oid = 'prompt_usage'::regclass
GROUP BY relation.relkind
