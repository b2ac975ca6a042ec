-- Purpose: the days of UTC of which all events are of the days :first to :last of a time zone.
-- Grain:   one row per such day of :days.
-- Time:    the first and the last microsecond of each day.
-- Asks the function that gives events their day, since time zone databases disagree: Python's, the system's and
-- DuckDB's are of different versions. Runs on DuckDB alone: no rollup, and reads no events.
SELECT day
FROM unnest(CAST($days AS DATE[])) AS given (day)
WHERE
    CAST(timezone($timezone, CAST(timezone('UTC', day) AS TIMESTAMP WITH TIME ZONE)) AS DATE) >= $first
    AND CAST(
        timezone(
            $timezone, CAST(timezone('UTC', day + INTERVAL 1 DAY - INTERVAL 1 MICROSECOND) AS TIMESTAMP WITH TIME ZONE)
        ) AS DATE
    ) <= $last
ORDER BY day
