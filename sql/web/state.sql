-- Purpose: what kept answers rest on: they hold for as long as this is the same.
-- Grain:   one row.
-- Time:    now.
-- Each row of prompts counts with the transaction that wrote it last, so that any change of the app's shows; of rows
-- that came and went between two looks the server's statistics tell, some seconds later. A table
-- too large to be read every second, or a view of a table with other names, which has no xmin but that of no_table,
-- is taken as one that always changes.
SELECT
    latest.id      AS refresh_id,
    latest.version AS refresh_version,
    coalesce(
        CASE WHEN pg_relation_size('prompts'::regclass) <= %(prompts_max_bytes)s THEN (
            SELECT count(*) || ' ' || sum(hashtext(prompt.version)) || ' ' || max(written.row_count)
            FROM (SELECT xmin::text AS version FROM prompts) AS prompt
            CROSS JOIN (
                SELECT n_tup_ins + n_tup_upd + n_tup_del AS row_count
                FROM pg_stat_all_tables
                WHERE relid = 'prompts'::regclass
            ) AS written
        ) END,
        clock_timestamp()::text
    )              AS prompts_version
FROM (VALUES (CAST(NULL AS xid))) AS no_table (xmin)
LEFT JOIN (
    SELECT
        id,
        xmin::text AS version
    FROM stats_refresh
    ORDER BY id DESC
    LIMIT 1
) AS latest ON true
