-- Purpose: removes the note on a prompt's day; one that has none stays without.
-- Grain:   one row per marker.
-- Time:    none.
DELETE FROM prompt_marker
WHERE prompt_id = %(prompt_id)s AND day = %(day)s
