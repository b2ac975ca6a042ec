"""The triggers on the app's ``prompt_usage``, and the functions behind them, as SQL. Pure.

Whoever may execute a trigger function can hang it on a table of their own, whose columns have types and casts
of their own. So only the owner may execute ours, and the one that runs with its owner's rights looks at the
table before it evaluates anything of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.adoption.catalog import Catalog, FoundFunction, FoundTable, literal, quoted
from pipeline.names import TableNames

QUOTE = "'"

ALWAYS = "A"
"""``pg_trigger.tgenabled`` of a trigger that fires whatever ``session_replication_role`` says."""

UNLIKE_ALWAYS = {None: "is missing", "D": "is disabled"}

# Rows may come with an id that somebody else made up: NULL from an ORM that writes every column, an old one
# from an archive, the publisher's from logical replication. The condition of the trigger is all that an
# ordinary insert costs; this is called for the others.
ASSIGN_INGEST_XID = """
BEGIN
    NEW.{ingest_xid} := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END
"""

# SECURITY DEFINER: whoever changes events needs no right on the table of notes, which would let them have
# everything read anew. A relation is ours by its name, or by its owner where it was renamed since. Of a
# column whose type is not Postgres' own no value is looked at, since its owner may have defined the cast:
# then every day may have changed. One statement changes many rows, and notes each of their days once.
NOTE_CHANGE = """
DECLARE
    is_ours boolean;
    is_time boolean;
BEGIN
    SELECT
        relation.oid = to_regclass({table_name})
        OR relation.relowner = (SELECT role.oid FROM pg_roles AS role WHERE role.rolname = current_user)
    INTO STRICT is_ours
    FROM pg_class AS relation
    WHERE relation.oid = TG_RELID;
    IF NOT is_ours THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'prompt-stats notes changes of ' || {table_name} || ', and of no other table',
            HINT = 'Drop this trigger; if the table is that of prompt-stats, run prompt-stats migrate.';
    END IF;

    SELECT
        coalesce(nullif(type.typbasetype, 0), type.oid)
        IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype)
        AND attribute.attgenerated <> 'v'
    INTO is_time
    FROM pg_attribute AS attribute
    INNER JOIN pg_type AS type ON type.oid = attribute.atttypid
    WHERE attribute.attrelid = TG_RELID AND attribute.attname = {created_at_name};

    IF TG_OP = 'TRUNCATE' OR is_time IS NOT TRUE THEN
        -- Of every day; a NULL day of another operation is that of undated rows.
        INSERT INTO {schema}.prompt_usage_invalidation (day, operation) VALUES (NULL, 'TRUNCATE');
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {schema}.prompt_usage_invalidation (day, operation)
        SELECT DISTINCT {created_at}::date, TG_OP FROM gone;
    ELSE
        INSERT INTO {schema}.prompt_usage_invalidation (day, operation)
        SELECT DISTINCT day, TG_OP FROM (
            SELECT {created_at}::date AS day FROM gone
            UNION
            SELECT {created_at}::date AS day FROM come
        ) AS changed;
    END IF;
    RETURN NULL;
END
"""

# The same for one row of a partitioned table. A statement that names a partition fires no statement trigger
# of the table; and only row triggers are cloned to partitions that are made or attached later. Each day is
# noted once per transaction, since a statement may change millions of rows: for those after the first of a
# day this ends early, and all that is cast until then is a time of Postgres' own.
NOTE_ROW_CHANGE = """
DECLARE
    this_xid bigint := pg_current_xact_id()::text::bigint;
    before date;
    after date;
    is_ours boolean;
    is_time boolean;
BEGIN
    IF
        pg_typeof(OLD.{created_at})
        IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype)
    THEN
        before := OLD.{created_at}::date;
        after := before;
        IF TG_OP = 'UPDATE' THEN
            after := NEW.{created_at}::date;
        END IF;
        -- One after the other: the plan of a single condition is made anew for each row.
        IF EXISTS (
            SELECT FROM {schema}.prompt_usage_invalidation AS note
            WHERE note.xid = this_xid AND note.operation = TG_OP AND note.day IS NOT DISTINCT FROM before
        ) THEN
            IF before IS NOT DISTINCT FROM after THEN
                RETURN NULL;
            END IF;
            IF EXISTS (
                SELECT FROM {schema}.prompt_usage_invalidation AS note
                WHERE note.xid = this_xid AND note.operation = TG_OP AND note.day IS NOT DISTINCT FROM after
            ) THEN
                RETURN NULL;
            END IF;
        END IF;
    END IF;

    SELECT
        pg_partition_root(relation.oid) = to_regclass({table_name})
        OR relation.relowner = (SELECT role.oid FROM pg_roles AS role WHERE role.rolname = current_user),
        coalesce(nullif(type.typbasetype, 0), type.oid)
        IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype)
        AND attribute.attgenerated <> 'v'
    INTO is_ours, is_time
    FROM pg_class AS relation
    LEFT JOIN pg_attribute AS attribute
        ON attribute.attrelid = relation.oid AND attribute.attname = {created_at_name}
    LEFT JOIN pg_type AS type ON type.oid = attribute.atttypid
    WHERE relation.oid = TG_RELID;
    IF is_ours IS NOT TRUE THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'prompt-stats notes changes of ' || {table_name} || ', and of no other table',
            HINT = 'Drop this trigger; if the table is that of prompt-stats, run prompt-stats migrate.';
    END IF;

    IF is_time IS NOT TRUE THEN
        INSERT INTO {schema}.prompt_usage_invalidation (day, operation) VALUES (NULL, 'TRUNCATE');
        RETURN NULL;
    END IF;
    before := OLD.{created_at}::date;
    after := before;
    IF TG_OP = 'UPDATE' THEN
        after := NEW.{created_at}::date;
    END IF;
    INSERT INTO {schema}.prompt_usage_invalidation (day, operation)
    SELECT DISTINCT changed.day, TG_OP
    FROM unnest(ARRAY[before, after]) AS changed (day)
    WHERE NOT EXISTS (
        SELECT FROM {schema}.prompt_usage_invalidation AS note
        WHERE note.xid = this_xid AND note.operation = TG_OP AND note.day IS NOT DISTINCT FROM changed.day
    );
    RETURN NULL;
END
"""


@dataclass(frozen=True)
class TriggerFunction:
    """A function that triggers call. ``body`` has names of the installation in braces. ``settings``: those
    that hold while it runs, with their values as SQL.
    """

    name: str
    body: str
    settings: Mapping[str, str]
    is_definer: bool = False


@dataclass(frozen=True)
class Trigger:
    """``event``: the part of ``CREATE TRIGGER`` between its name and the function, with names in braces."""

    function: TriggerFunction
    event: str


SAFE_PATH = {"search_path": "pg_catalog, pg_temp"}
"""No schema in which others may create."""

_NOTE = TriggerFunction(
    "note_prompt_usage_change",
    NOTE_CHANGE,
    {**SAFE_PATH, "TimeZone": "'UTC'"},
    is_definer=True,
)
_ASSIGN = TriggerFunction("assign_prompt_usage_ingest_xid", ASSIGN_INGEST_XID, SAFE_PATH)
_NOTE_ROW = TriggerFunction(
    "note_prompt_usage_row_change",
    NOTE_ROW_CHANGE,
    {**SAFE_PATH, "TimeZone": "'UTC'"},
    is_definer=True,
)
FUNCTIONS = (_NOTE, _ASSIGN, _NOTE_ROW)

ASSIGNING = "prompt_usage_assign_ingest_xid"
"""The trigger that refers to the column ``ingest_xid``."""

TRIGGERS: Mapping[str, Trigger] = {
    "prompt_usage_note_update": Trigger(
        _NOTE,
        "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS gone NEW TABLE AS come FOR EACH STATEMENT",
    ),
    "prompt_usage_note_delete": Trigger(
        _NOTE, "AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT"
    ),
    "prompt_usage_note_truncate": Trigger(_NOTE, "AFTER TRUNCATE ON {table} FOR EACH STATEMENT"),
    ASSIGNING: Trigger(
        _ASSIGN,
        "BEFORE INSERT ON {table} FOR EACH ROW"
        " WHEN (NEW.{ingest_xid} IS DISTINCT FROM (pg_current_xact_id()::text)::bigint)",
    ),
}

ROW_TRIGGERS: Mapping[str, Trigger] = {
    **TRIGGERS,
    "prompt_usage_note_update": Trigger(_NOTE_ROW, "AFTER UPDATE ON {table} FOR EACH ROW"),
    "prompt_usage_note_delete": Trigger(_NOTE_ROW, "AFTER DELETE ON {table} FOR EACH ROW"),
}
"""Those of a partitioned table, by the same names: its partitions have those for rows from it."""

OF_PARTITIONS = [name for name, trigger in ROW_TRIGGERS.items() if not trigger.event.endswith("STATEMENT")]


def _triggers_of(found: FoundTable) -> Mapping[str, Trigger]:
    return ROW_TRIGGERS if found.is_partitioned else TRIGGERS


def _functions_of(found: FoundTable) -> list[TriggerFunction]:
    used = {trigger.function.name for trigger in _triggers_of(found).values()}
    return [function for function in FUNCTIONS if function.name in used]


def are_current(catalog: Catalog, names: TableNames) -> bool:
    """Whether every trigger fires always, and calls the function that this version has."""
    return not any(faults(catalog, names))


def faults(catalog: Catalog, names: TableNames) -> Iterator[str]:
    """What is the matter with the triggers and their functions."""
    found = catalog.tables.get("prompt_usage", FoundTable())
    used = _names_used(catalog, names)
    for name in TRIGGERS:
        fires = found.triggers.get(name)
        if fires != ALWAYS:
            yield f"{name} {UNLIKE_ALWAYS.get(fires, 'is not ENABLE ALWAYS')}"
    for name in OF_PARTITIONS:
        silent = [each for each in found.partitions if each.triggers.get(name) != ALWAYS]
        if silent and found.triggers.get(name) == ALWAYS:
            said = UNLIKE_ALWAYS.get(silent[0].triggers.get(name), "is not ENABLE ALWAYS")
            yield f"{name} {said} on {len(silent)} of its partitions, the first {silent[0].name}"
    for each in _functions_of(found):
        there = catalog.functions.get(each.name)
        settings = tuple(f"{setting}={value.strip(QUOTE)}" for setting, value in each.settings.items())
        if there is None:
            yield f"{each.name}() is missing"
        elif there != FoundFunction(each.body.format(**used), each.is_definer, settings, executable_by=()):
            yield f"{each.name}() is not that of this version, or others may execute it"


def creation(catalog: Catalog, names: TableNames) -> Iterator[str]:
    """The statements that make the functions and triggers, or make them anew."""
    used = _names_used(catalog, names)
    table, schema = used["table"], used["schema"]
    found = catalog.tables.get("prompt_usage", FoundTable())
    for function in _functions_of(found):
        qualified = f"{schema}.{function.name}()"
        rights = "SECURITY DEFINER " if function.is_definer else ""
        settings = " ".join(f"SET {name} = {value}" for name, value in function.settings.items())
        yield (
            f"CREATE OR REPLACE FUNCTION {qualified} RETURNS trigger"
            f" LANGUAGE plpgsql {rights}{settings} AS $${function.body.format(**used)}$$"
        )
        yield f"REVOKE ALL ON FUNCTION {qualified} FROM PUBLIC"
        there = catalog.functions.get(function.name)
        for role in there.executable_by if there else ():
            if role != "PUBLIC":
                yield f"REVOKE ALL ON FUNCTION {qualified} FROM {quoted(role)}"
    for partition in found.partitions:
        # From when it was no partition. Those of the table could not be cloned to it beside them.
        for name in sorted(partition.own_triggers & TRIGGERS.keys()):
            yield f"DROP TRIGGER {name} ON {partition.name}"
    for name, trigger in _triggers_of(found).items():
        yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
        yield (
            f"CREATE TRIGGER {name} {trigger.event.format(**used)}"
            f" EXECUTE FUNCTION {schema}.{trigger.function.name}()"
        )
        yield f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"


def removal(catalog: Catalog) -> tuple[str, ...]:
    """The statements that remove the functions, and with them their triggers, whoever made them."""
    schema = quoted(catalog.schema)
    return tuple(f"DROP FUNCTION IF EXISTS {schema}.{each.name}() CASCADE" for each in FUNCTIONS)


def _names_used(catalog: Catalog, names: TableNames) -> dict[str, str]:
    table = quoted(catalog.schema, names.table("prompt_usage"))
    created_at = names.column("prompt_usage", "created_at")
    return {
        "schema": quoted(catalog.schema),
        "table": table,
        "table_name": literal(table),
        "created_at": quoted(created_at),
        "created_at_name": literal(created_at),
        "ingest_xid": quoted(names.column("prompt_usage", "ingest_xid")),
    }
