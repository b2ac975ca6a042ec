-- Purpose: of which of some tables the role may see a part of the rows only: row level security applies to it.
-- Grain:   one row a table.
-- Time:    now.
SELECT wanted.table_name
FROM unnest(CAST(:tables AS text[])) AS wanted (table_name)
WHERE row_security_active(to_regclass(wanted.table_name))
