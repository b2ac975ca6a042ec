-- Purpose: sets what a session has to be, and says what each setting is then.
-- Grain:   one row per setting that this server knows; none if the session is not the caller's own.
-- Time:    now.
-- $1: the settings as a JSON object. $2: whether to set them for this transaction only. $3: the process id that the connection was told; another one means that a pooler is between, and nothing is set for the session. NULL: set it anyway.
-- What an operator wants stricter stays: a commit that also waits for a standby; so does a limit of waits for locks.
-- Only Linux has the check of clients in each version.
SELECT
    key                          AS name,
    value                        AS wanted,
    set_config(key, value, $2)   AS found
FROM json_each_text($1::json)
WHERE
    current_setting(key, true) IS NOT NULL
    AND ($2 OR pg_backend_pid() = coalesce($3::integer, pg_backend_pid()))
    AND (key <> 'synchronous_commit' OR current_setting(key, true) = 'off')
    AND (key <> 'lock_timeout' OR current_setting(key, true) = '0')
    AND (key <> 'client_connection_check_interval' OR version() LIKE '%linux%')
