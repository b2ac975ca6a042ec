-- Purpose: who we are on which server, and what of it the pipeline depends on.
-- Grain:   one row.
-- Time:    now.
SELECT
    current_user                                            AS role_name,
    current_database()                                      AS database_name,
    current_schema()                                        AS schema_name,
    split_part(current_setting('server_version'), ' ', 1)   AS version,
    current_setting('TimeZone')                             AS time_zone,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS is_read_only,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_transactions,
    (
        SELECT format_type(atttypid, NULL)
        FROM pg_attribute
        WHERE attrelid = to_regclass('prompt_usage') AND attname = 'created_at'
    )                                                       AS created_at_type,
    clock_timestamp()                                       AS read_at
