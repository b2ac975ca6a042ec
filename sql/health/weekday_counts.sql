-- Purpose: the events of the last finished day, and of the same weekday before.
-- Grain:   one row per day, with or without events: the last finished day, then :weeks before it.
-- Time:    day (UTC); finished is the day before that of the last publish's as_of.
SELECT
    finished.day - 7 * week            AS day,
    coalesce(stats_day.usage_count, 0) AS usage_count
FROM (SELECT as_of::date - 1 AS day FROM stats_refresh ORDER BY id DESC LIMIT 1) AS finished
CROSS JOIN generate_series(0, :weeks) AS week
LEFT JOIN stats_day ON stats_day.day = finished.day - 7 * week
ORDER BY week
