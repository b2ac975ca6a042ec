-- Purpose: who but its owner may create things in the schemas where our sessions look for names.
-- Grain:   one row per schema and role; PUBLIC stands for every role.
-- Time:    now.
-- Whoever may can put a function there that fits a call of ours better than Postgres' own, and it then runs with
-- the rights of whoever makes the call.
SELECT
    pg_namespace.nspname::text              AS schema_name,
    coalesce(role.rolname::text, 'PUBLIC')  AS grantee
FROM unnest(current_schemas(false)) AS searched (name)
INNER JOIN pg_namespace ON pg_namespace.nspname = searched.name
CROSS JOIN aclexplode(pg_namespace.nspacl) AS granted
LEFT JOIN pg_roles AS role ON role.oid = granted.grantee
WHERE
    granted.privilege_type = 'CREATE'
    AND granted.grantee <> pg_namespace.nspowner
    AND (granted.grantee = 0 OR NOT pg_has_role(current_user, granted.grantee, 'MEMBER'))
ORDER BY 1, 2
