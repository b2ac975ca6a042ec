-- Purpose: forgets the changes that the published stats contain.
-- Grain:   one row a note of the trigger.
-- Time:    xid; a day's notes go when it was read again after they were made: below its replaced_from.
-- A TRUNCATE goes when every day was: below :all_replaced_from.
DELETE FROM prompt_usage_invalidation AS note
WHERE
    note.operation = 'TRUNCATE' AND note.xid < :all_replaced_from
    OR note.operation <> 'TRUNCATE'
    AND EXISTS (
        SELECT
        FROM unnest(CAST(:days AS date[]), CAST(:replaced_from AS bigint[])) AS published (day, replaced_from)
        WHERE
            published.day
            = least(greatest(coalesce(note.day, :first_day), :first_day), CAST('9999-12-31' AS date))
            AND published.replaced_from > note.xid
    )
