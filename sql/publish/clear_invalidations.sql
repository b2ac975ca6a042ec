-- Purpose: forgets the changes that the published stats contain.
-- Grain:   one row per note of the trigger.
-- Time:    xid; a day's notes go when it was read again after they were made: below its replaced_from.
-- A TRUNCATE goes when every day was: below :all_replaced_from. The last day of all stands for it, so that notes
-- and days meet by one comparison, which can be hashed.
DELETE FROM prompt_usage_invalidation AS note
USING (
    SELECT
        day,
        replaced_from
    FROM unnest(CAST(:days AS date[]), CAST(:replaced_from AS bigint[])) AS published (day, replaced_from)
    UNION ALL
    SELECT
        CAST('infinity' AS date),
        CAST(:all_replaced_from AS bigint)
) AS published
WHERE
    published.day = CASE
        WHEN note.operation = 'TRUNCATE' THEN CAST('infinity' AS date)
        ELSE greatest(CASE WHEN note.day < '10000-01-01' THEN note.day END, :first_day)
    END
    AND published.replaced_from > note.xid
