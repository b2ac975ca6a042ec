-- Purpose: what tells an installation from others in the same database: the oid of the schema of its tables.
-- Grain:   one row.
-- Time:    now; the same before and after migrate made the tables.
-- As the integer with the same bits, which is half the key of an advisory lock.
SELECT CAST(CAST(CAST(coalesce(
    (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('stats_refresh')),
    to_regnamespace(quote_ident(current_schema()))::oid,
    0
) AS bigint) AS bit(32)) AS integer) AS installation
