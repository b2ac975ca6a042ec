"""Reads what the database has of the app's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from pipeline.database.queries import query
from pipeline.names import APP_TABLES, TableNames

SCHEMA_OF_APP = text(query("adoption/schema_of_app"))
APP_TABLES_SQL = text(query("adoption/app_tables"))
FOREIGN_VIEWS = text(query("adoption/foreign_views"))
FUNCTIONS_SQL = text(query("adoption/trigger_functions"))

_preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it


def quoted(*names: str) -> str:
    """A name as SQL has it: each part is quoted if it has to be."""
    return ".".join(map(_preparer.quote, names))


def literal(value: str) -> str:
    """A text as SQL has it."""
    return "'{}'".format(value.replace("'", "''"))


@dataclass(frozen=True)
class FoundColumn:
    """``type`` as :mod:`pipeline.adoption.plan` compares it; ``default``: an expression, or None.

    ``is_generated``: no value can be written there.
    """

    type: str
    default: str | None = None
    is_nullable: bool = True
    is_generated: bool = False


@dataclass(frozen=True)
class FoundPartition:
    """A partition of a table, at any depth. ``name``, ``schema``, ``parent``: as SQL. ``triggers``: those
    that came from the table, as in :class:`FoundTable`; ``own_triggers``: the others.
    """

    name: str
    schema: str
    parent: str
    relkind: str
    oid: int
    triggers: Mapping[str, str] = field(default_factory=dict)
    own_triggers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FoundTable:
    """What there is of one table, by the names in the database.

    ``relkind``: of ``pg_class``. ``is_ours``: whether this role may alter it. ``indexes``: whether each is
    valid. ``triggers``: whether, and when, each fires (``pg_trigger.tgenabled``). ``relatives``: tables
    that it inherits from or that inherit from it. ``keys``: the columns that are unique by themselves; of a
    partitioned table those by which a unique index begins.
    ``constraints``: checks, foreign keys and exclusions, as SQL. ``range_column``: by which it is partitioned
    into ranges; None: it is not. ``partitions``: those from the top down.
    """

    relkind: str = "r"
    is_ours: bool = True
    rows_estimated: int = 0
    columns: Mapping[str, FoundColumn] = field(default_factory=dict)
    indexes: Mapping[str, bool] = field(default_factory=dict)
    triggers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None
    relatives: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    constraints: Mapping[str, str] = field(default_factory=dict)
    range_column: str | None = None
    partitions: tuple[FoundPartition, ...] = ()

    @property
    def is_partitioned(self) -> bool:
        """Whether its rows are in partitions."""
        return self.relkind == "p"


@dataclass(frozen=True)
class FoundFunction:
    """A trigger function. ``is_definer``: whether it runs with its owner's rights. ``executable_by``: the
    roles besides its owner that may hang it on a table; ``PUBLIC`` may be one.
    """

    body: str
    is_definer: bool
    settings: tuple[str, ...]
    executable_by: tuple[str, ...]


@dataclass(frozen=True)
class Catalog:
    """``tables`` and ``views``: those that there are, by our names. ``schema``: where the tables are.
    ``functions``: the trigger functions of that schema, the app's too. ``foreign_views``: what
    :func:`foreign_views` finds in the place of the views; then ``views`` is empty.
    """

    schema: str
    tables: Mapping[str, FoundTable]
    views: Mapping[str, FoundTable]
    functions: Mapping[str, FoundFunction] = field(default_factory=dict)
    foreign_views: Sequence[str] = ()


def read_catalog(connection: Connection, names: TableNames) -> Catalog:
    """Reads the app's tables, and the views over them."""
    schema = names.schema or connection.execute(SCHEMA_OF_APP).scalar_one()
    foreign = foreign_views(connection, names, schema)
    has_views = names.has_views and not foreign
    views = {ours: quoted(names.views, ours) for ours in APP_TABLES} if has_views else {}
    return Catalog(
        schema,
        found_tables(connection, {ours: quoted(schema, names.table(ours)) for ours in APP_TABLES}),
        found_tables(connection, views),
        _functions(connection, schema),
        foreign,
    )


def foreign_views(connection: Connection, names: TableNames, schema: str) -> list[str]:
    """What stands in the place of the views and is no view of tables in ``schema``.

    It is another installation's, whose rows one would read and delete through it, or the app's.
    """
    if not names.has_views:
        return []
    wanted = {"views": names.views, "names": list(APP_TABLES), "schema": schema}
    return [
        f"{row.name} is a view of {row.source}" if row.source else f"{row.name} is no view of prompt-stats"
        for row in connection.execute(FOREIGN_VIEWS, wanted)
    ]


def _functions(connection: Connection, schema: str) -> dict[str, FoundFunction]:
    return {
        row.name: FoundFunction(row.body, row.is_definer, tuple(row.settings), tuple(row.executable_by))
        for row in connection.execute(FUNCTIONS_SQL, {"schema": quoted(schema)})
    }


def found_tables(connection: Connection, wanted: Mapping[str, str]) -> dict[str, FoundTable]:
    """What there is of some tables. ``wanted``: their names as SQL, by how the answer names them."""
    found: dict[str, dict[str, list[tuple[str, str, Any]]]] = {}
    ours = list(wanted)
    for row in connection.execute(APP_TABLES_SQL, {"tables": list(wanted.values())}):
        things = found.setdefault(ours[row.place - 1], {})
        things.setdefault(row.kind, []).append((row.name, row.type, row.definition))
    return {name: _table(things) for name, things in found.items()}


def _table(things: Mapping[str, list[tuple[str, str, Any]]]) -> FoundTable:
    [(relkind, is_ours, rows_estimated)] = things["relation"]
    [(_, _, comment)] = things["comment"]
    required = {name for name, _, _ in things.get("required", ())}
    generated = {name: when for name, when, _ in things.get("generated", ())}
    return FoundTable(
        relkind,
        is_ours == "true",
        int(rows_estimated),
        {
            name: FoundColumn(
                type_,
                # Numbers of the database's are a default that can be overridden.
                "nextval" if default is None and generated.get(name) == "by default" else default,
                name not in required,
                generated.get(name) == "always",
            )
            for name, type_, default in things.get("column", ())
        },
        {name: is_valid == "true" for name, is_valid, _ in things.get("index", ())},
        {name: enabled for name, _, enabled in things.get("trigger", ())},
        {name: value for name, _, value in things.get("parameter", ())},
        comment,
        tuple(name for name, _, _ in things.get("relative", ())),
        frozenset(name for name, _, _ in things.get("key", ())),
        {name: definition for name, _, definition in things.get("constraint", ())},
        next((name for name, strategy, _ in things.get("partitioned", ()) if strategy == "r"), None),
        tuple(_partitions(things)),
    )


def _partitions(things: Mapping[str, list[tuple[str, str, Any]]]) -> Iterator[FoundPartition]:
    triggers: dict[str, dict[str, str | None]] = {}
    for partition, name, fires in things.get("of partition", ()):
        triggers.setdefault(partition, {})[name] = fires
    for name, kind, parent in things.get("partition", ()):
        relkind, oid, schema = kind.split(" ", 2)
        those = triggers.get(name, {})
        yield FoundPartition(
            name,
            schema,
            parent,
            relkind,
            int(oid),
            {trigger: fires for trigger, fires in those.items() if fires is not None},
            frozenset(trigger for trigger, fires in those.items() if fires is None),
        )
