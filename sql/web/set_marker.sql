-- Purpose: notes what was changed of a prompt on a day; answers whether there is such a living prompt.
-- Grain:   one row.
-- Time:    created_at, now; that of a day that is marked already stays.
WITH prompt AS (
    SELECT id
    FROM prompts
    WHERE id = %(prompt_id)s AND deleted_at IS NULL
),

written AS (
    INSERT INTO prompt_marker (prompt_id, day, note)
    SELECT
        prompt.id,
        %(day)s,
        %(note)s
    FROM prompt
    WHERE true
    ON CONFLICT (prompt_id, day) DO UPDATE SET note = excluded.note
)

SELECT EXISTS (SELECT FROM prompt) AS is_known
