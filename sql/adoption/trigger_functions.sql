-- Purpose: the trigger functions of a schema, and who may hang them on a table.
-- Grain:   one row per function.
-- Time:    now.
-- executable_by: the roles other than the owner to which EXECUTE is granted, PUBLIC among them.
SELECT
    proname                             AS name,
    prosrc                              AS body,
    prosecdef                           AS is_definer,
    coalesce(proconfig, '{}')           AS settings,
    ARRAY(
        SELECT coalesce(pg_roles.rolname, 'PUBLIC')::text
        FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS granted
        LEFT JOIN pg_roles ON pg_roles.oid = granted.grantee
        WHERE granted.grantee <> proowner
        ORDER BY 1
    )                                   AS executable_by
FROM pg_proc
WHERE
    pronamespace = to_regnamespace(:schema)
    AND prorettype = 'trigger'::regtype
