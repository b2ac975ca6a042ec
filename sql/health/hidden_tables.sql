-- Purpose: of which of some tables the role may see a part of the rows only: row level security applies to it.
-- Grain:   one row per table of :relations, with its name among :names.
-- Time:    now.
SELECT wanted.name
FROM unnest(CAST(:names AS text[]), CAST(:relations AS text[])) AS wanted (name, relation)
WHERE row_security_active(to_regclass(wanted.relation))
