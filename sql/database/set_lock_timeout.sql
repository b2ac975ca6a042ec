-- Purpose: sets how long the transaction's statements wait for a lock, and says what was set before.
-- Grain:   one row.
-- Time:    now.
WITH earlier AS MATERIALIZED (SELECT current_setting('lock_timeout') AS value)
SELECT
    value,
    set_config('lock_timeout', :value, true)
FROM earlier
