-- Purpose: the alerts that are raised, and those that recovered lately, with the names of their prompts.
-- Grain:   one row per alert; raised ones first, then the worst, then the latest.
-- Time:    recovered_at within the last :days days, or none.
SELECT
    alerts.*,
    alerts.prompt_id::text AS prompt_id,
    prompts.name AS prompt_name
FROM stats_alerts AS alerts
LEFT JOIN prompts ON prompts.id = alerts.prompt_id
WHERE
    alerts.recovered_at IS NULL
    OR alerts.recovered_at > clock_timestamp() - make_interval(days => %(days)s)
ORDER BY alerts.recovered_at DESC NULLS FIRST, alerts.severity, alerts.raised_at DESC, alerts.id
