-- Purpose: when the alerts were last evaluated.
-- Grain:   one row, or none before the first evaluation.
-- Time:    evaluated_at of the last one.
SELECT evaluated_at
FROM stats_alert_evaluation
ORDER BY id DESC
LIMIT 1
