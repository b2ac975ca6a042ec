-- Purpose: who may do something with tables and views of some names without a grant that somebody made to them.
-- Grain:   one row per relation and grantee; relation is NULL for tables that are still to be made.
-- Time:    now.
-- PUBLIC stands for every role. Default privileges of the schema, or of the database, grant by themselves.
SELECT
    relation.oid::regclass::text                            AS relation,
    'PUBLIC'                                                AS grantee,
    string_agg(granted.privilege_type, ', ' ORDER BY granted.privilege_type) AS privileges
FROM unnest(CAST(:relations AS text[])) AS wanted (name)
INNER JOIN pg_class AS relation ON relation.oid = to_regclass(wanted.name)
CROSS JOIN aclexplode(relation.relacl) AS granted
WHERE granted.grantee = 0
GROUP BY relation.oid
UNION ALL
SELECT
    NULL,
    coalesce(role.rolname::text, 'PUBLIC'),
    string_agg(DISTINCT granted.privilege_type, ', ' ORDER BY granted.privilege_type)
FROM pg_default_acl
CROSS JOIN aclexplode(defaclacl) AS granted
LEFT JOIN pg_roles AS role ON role.oid = granted.grantee
WHERE
    defaclobjtype = 'r'
    AND defaclnamespace IN (0, to_regnamespace(:schema))
    AND granted.grantee <> defaclrole
GROUP BY role.rolname
ORDER BY 1 NULLS LAST, 2
