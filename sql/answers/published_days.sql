-- Purpose: from which state of the lake's days the published stats were made.
-- Grain:   one row per day.
-- Time:    day (UTC), from :from_day to :to_day, both included.
SELECT
    day,
    events_version
FROM stats_day
WHERE day BETWEEN CAST(%(from_day)s AS date) AND CAST(%(to_day)s AS date)
