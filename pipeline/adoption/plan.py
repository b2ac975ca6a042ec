"""Plans the missing steps on the app's tables, none of which holds a lock for long, and finds problems.

Pure. A step only adds something: a nullable column, a default, an index, a trigger, a view, a missing table.
Nothing is dropped, renamed or rewritten. Each step says how to undo it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Column, MetaData, Table, create_mock_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.schema import DDLElement
from sqlalchemy.types import Boolean, DateTime, Double, Integer, Text, TypeEngine

from pipeline.adoption import partitions, triggers, writing
from pipeline.adoption.catalog import Catalog, FoundColumn, FoundPartition, FoundTable, literal, quoted
from pipeline.adoption.ids import TEXTS, WHOLE, Ids, group_of, ids_of, kind_of_id, tables_with
from pipeline.adoption.partitions import PartitionBy
from pipeline.names import APP_TABLES, VIEWS_SCHEMA, TableNames
from pipeline.tracking.usage_table import EVENT_KEY

_NUMBERS = {*WHOLE, "double precision", "real", "numeric"}
KINDS: dict[type[TypeEngine[Any]], set[str]] = {
    Boolean: {"boolean"},
    DateTime: {"timestamp with time zone", "timestamp without time zone"},
    Double: _NUMBERS,
    Integer: _NUMBERS,
    JSONB: {"jsonb", "json", "ARRAY"},
    UUID: {"uuid", *TEXTS, *WHOLE},
    Text: {*TEXTS, "enum"},
}
"""The types that do, for a column that ours has as such: an app may have others."""

COUNTERS = {**KINDS, Integer: {*WHOLE, "numeric"}}
"""The same for ``prompts``, whose counts are written back (``pipeline.publish.fitting``)."""

IS_VIEW = "Name the table itself in PROMPT_STATS_TABLES"
UNUSABLE = {
    "v": ("a view", IS_VIEW),
    "m": ("a materialized view", IS_VIEW),
    "f": ("a foreign table", "Set DATABASE_URL to the database that has the table itself"),
    "p": (
        "partitioned",
        "Nothing was changed. Only prompt_usage may have partitions; let the app write to an ordinary table",
    ),
}
"""Relations that are not ordinary tables, by ``pg_class.relkind``: their name, and what to do."""

NEEDED = {
    "prompts": {"id", "name"},
    "prompt_usage": {"id", "prompt_id", "success", "created_at"},
    "prompt_favorites": {"prompt_id", "user_id"},
    "posts": {"id", "created_at"},
}
"""Columns that an existing table must have, since they can't be added with any useful value."""

SPARE = {("posts", "prompt"), ("posts", "negative_prompt"), ("prompt_favorites", "id")}
"""Columns that only our own tables have. We do not read them."""

INDEXES = {
    "prompts_id_text_idx": ("prompts", "(({id}::text))"),
    "prompt_usage_ingest_brin": (
        "prompt_usage",
        "USING brin ({ingest_xid}, {created_at}) WITH (autosummarize = on, pages_per_range = 32)",
    ),
}
"""Those of ``pipeline.database.tables`` that a table which is there gets: by name, the table and the rest."""

MAKES_PARTITION = "makes the partition"
"""How a step begins that makes that of a month to come."""


class Lock(Enum):
    """The lock that a step takes on the app's table, and its effect on others."""

    NONE = "none"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE: readers and writers do not wait"
    SHARE = "SHARE, for a moment: writers wait"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE, for a moment: writers wait"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE, for a moment: readers and writers wait"


@dataclass(frozen=True)
class Step:
    """One addition. ``statements`` are one transaction; but for an index, which is made ``CONCURRENTLY``,
    outside of any. ``undo`` takes it back, and may be repeated.
    """

    what: str
    lock: Lock
    statements: Sequence[str]
    undo: Sequence[str]
    is_concurrent: bool = False


class Problem(NamedTuple):
    """A problem, and what to do about it, without a final full stop."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """``steps`` in order; none can be taken while there are ``problems``. ``warnings``: what keeps events out
    that are tracked, and not those that the app inserts itself.
    """

    steps: Sequence[Step]
    problems: Sequence[Problem]
    ids: Ids
    warnings: Sequence[Problem] = ()


def plan_adoption(catalog: Catalog, names: TableNames, partition_by: PartitionBy | None = None) -> Plan:
    """The steps that the app's tables need, which are all of them for an empty database.

    ``partition_by``: how ``prompt_usage`` is partitioned if it is made.
    """
    ids = ids_of(catalog, names)
    adoption = _Adoption(catalog, names, ids, partition_by)
    return Plan(list(adoption.steps()), list(adoption.problems()), ids, list(adoption.warnings()))


class _Adoption:
    """The steps and problems of one database."""

    def __init__(
        self, catalog: Catalog, names: TableNames, ids: Ids, partition_by: PartitionBy | None = None
    ) -> None:
        self._catalog = catalog
        self._names = names
        self._makes_partitions = bool(partition_by) and writing.TABLE not in catalog.tables
        self._metadata = tables_with(ids)

    def steps(self) -> Iterator[Step]:
        """All missing parts, in an order in which they can be added."""
        for name in APP_TABLES:
            found = self._catalog.tables.get(name)
            if found is None:
                yield self._table(self._metadata.tables[name])
                continue
            yield from self._additions(self._metadata.tables[name], found)
        yield from self._triggers()
        if self._names.has_views:
            yield from self._views()

    def renewal(self) -> Iterator[str]:
        """The statements that make ``ingest_xid`` anew."""
        table = self._metadata.tables["prompt_usage"]
        found, name = self._catalog.tables[table.name], self._names.column(table.name, "ingest_xid")
        if self._names.has_views:
            yield f"DROP VIEW {quoted(self._names.views, table.name)}"
        # Its condition is about the column.
        yield f"DROP TRIGGER IF EXISTS {triggers.ASSIGNING} ON {self._qualified(table.name)}"
        yield f"ALTER TABLE {self._qualified(table.name)} DROP COLUMN {quoted(name)}"
        columns = {column: there for column, there in found.columns.items() if column != name}
        for step in self._columns(table, replace(found, columns=columns)):
            yield from step.statements
        # With those of its partitions at once: nobody else is at work on a restored table.
        for step in self._indexes(table.name, replace(found, indexes={}, relkind="r")):
            yield from (statement.replace(" CONCURRENTLY", "") for statement in step.statements)
        yield from triggers.creation(self._catalog, self._names)
        if self._names.has_views:
            yield from view_of(self._catalog, self._names, table).statements

    def problems(self) -> Iterator[Problem]:
        """Everything that can't be added, or can't be used as it is."""
        if self._catalog.foreign_views:
            yield views_problem(self._catalog.foreign_views, self._names)
        for table, column in self._names.columns:
            if column not in self._metadata.tables[table].columns:
                known = ", ".join(self._metadata.tables[table].columns.keys())
                yield Problem(
                    f"PROMPT_STATS_TABLES names {table}.{column}, which is not one of our columns",
                    f"Use one of {known}",
                )
        for name in APP_TABLES:
            found = self._catalog.tables.get(name)
            if found:
                yield from self._problems_of(self._metadata.tables[name], found)
            elif name in self._names.tables:
                yield Problem(
                    f"PROMPT_STATS_TABLES calls {name} {self._names.table(name)}, but there is no table"
                    f" {self._qualified(name)}",
                    "Correct the name or its schema, or leave it out to have the table created",
                )
        yield from self._unlike_ids()

    def warnings(self) -> Iterator[Problem]:
        """What keeps events out."""
        found = self._catalog.tables.get(writing.TABLE)
        if found and self._names.column(writing.TABLE, "id") in found.columns:
            for each in writing.obstacles(found, self._names, self._qualified(writing.TABLE)):
                yield Problem(*each)

    def _qualified(self, table: str) -> str:
        return quoted(self._catalog.schema, self._names.table(table))

    def _column(self, table: str, ours: str) -> str:
        return quoted(self._names.column(table, ours))

    # What is there

    def _problems_of(self, table: Table, found: FoundTable) -> Iterator[Problem]:
        qualified = self._qualified(table.name)
        if table.name == writing.TABLE and found.is_partitioned:
            yield from self._problems_of_partitions(found)
        elif found.relkind != "r":
            what, remedy = UNUSABLE.get(found.relkind, ("no table", IS_VIEW))
            yield Problem(f"{qualified} is {what}, where an ordinary table is needed", remedy)
            return
        if table.name == "prompt_usage" and found.relatives:
            yield Problem(
                f"{qualified} shares its rows by inheritance with {', '.join(found.relatives)}",
                "Nothing was changed. Remove the inheritance, as in ALTER TABLE child NO INHERIT parent",
            )
        for column in table.columns:
            there = found.columns.get(self._names.column(table.name, column.name))
            named = f"{qualified}.{self._column(table.name, column.name)}"
            if there is None and (
                column.name in NEEDED[table.name] or (table.name, column.name) in self._names.columns
            ):
                yield Problem(
                    f"{named} is missing: {(column.comment or '').rstrip('.')}",
                    "Give its name in PROMPT_STATS_TABLES, as in"
                    f" {table.name}.{column.name}=its_name, or add the column",
                )
            elif there and (wrong := wrong_type(column, there)):
                yield Problem(f"{named} {wrong}", "Change its type, or name another column")
        steps = [*self._additions(table, found), *(self._triggers() if table.name == "prompt_usage" else ())]
        if steps and not found.is_ours:
            yield Problem(
                f"{qualified} belongs to another role and needs changes: migrate"
                f" {'; '.join(step.what for step in steps)}",
                "Run prompt-stats migrate once as its owner; prompt-stats migrate --plan shows what it does",
            )

    def _problems_of_partitions(self, found: FoundTable) -> Iterator[Problem]:
        qualified, created_at = (
            self._qualified(writing.TABLE),
            self._names.column(writing.TABLE, "created_at"),
        )
        if found.range_column != created_at:
            yield Problem(
                f"{qualified} is not partitioned by ranges of {created_at}",
                "Nothing was changed. Partition it by RANGE of that column first, and by others below it",
            )
        foreign = [each.name for each in found.partitions if each.relkind == "f"]
        if foreign:
            yield Problem(
                f"{qualified} has partitions that are foreign tables: {', '.join(foreign)}",
                "Nothing was changed. Changes in foreign tables can't be noticed, so detach them",
            )

    def _unlike_ids(self) -> Iterator[Problem]:
        """Ids of the same thing with types that SQL does not compare."""
        first: dict[str, tuple[str, str]] = {}
        for name in APP_TABLES:
            found = self._catalog.tables.get(name)
            for column in self._metadata.tables[name].columns if found else ():
                there = found and found.columns.get(self._names.column(name, column.name))
                kind = kind_of_id(name, column.name)
                if not there or not kind:
                    continue
                named = f"{self._qualified(name)}.{self._column(name, column.name)}"
                other, type_ = first.setdefault(kind, (named, there.type))
                if group_of(type_) != group_of(there.type):
                    yield Problem(
                        f"{named} is {there.type} and {other} is {type_}, so they can't be compared",
                        "Give both the same type",
                    )

    # What is missing

    def _additions(self, table: Table, found: FoundTable) -> Iterator[Step]:
        yield from self._columns(table, found)
        if table.name == "prompt_usage":
            yield from self._watermark(table, found)
            yield from self._event_key(found)
            if not found.is_partitioned:
                yield from self._parameters(table, found)
            yield from self._later_partitions(table, found)
        yield from self._indexes(table.name, found)

    def _table(self, table: Table) -> Step:
        qualified = self._qualified(table.name)
        # Rows of the app are not ours to drop.
        drop = f"IF NOT EXISTS (SELECT FROM {qualified}) THEN DROP TABLE {qualified}; END IF;"
        statements: list[str] = []

        def take(ddl: DDLElement, *_: object, **__: object) -> None:
            statements.append(str(ddl.compile(dialect=engine.dialect)).strip())

        engine = create_mock_engine("postgresql+psycopg://", take)
        schema, by = self._catalog.schema, ""
        if table.name == writing.TABLE and self._makes_partitions:
            partitions.partitioned(table, MetaData(), schema).create(engine)
            statements += [self._partition(month) for month in partitions.months_from(_today())]
            statements.append(partitions.default(schema, self._names.table(table.name)))
            by = ", partitioned by month"
        else:
            table.to_metadata(MetaData(), schema=schema).create(engine)
        return Step(
            f"creates the table {qualified}{by}",
            Lock.NONE,
            statements,
            (f"DO $$ BEGIN {drop} END $$",),
        )

    def _partition(self, month: dt.date) -> str:
        parameters = self._metadata.tables[writing.TABLE].dialect_options["postgresql"]["with"]
        return partitions.creation(self._catalog.schema, self._names.table(writing.TABLE), month, parameters)

    def _later_partitions(self, table: Table, found: FoundTable) -> Iterator[Step]:
        name = self._names.table(table.name)
        for month in partitions.missing_months(found, self._catalog.schema, name, _today()):
            yield Step(
                f"{MAKES_PARTITION} of {self._qualified(table.name)} for {month:%Y-%m}",
                Lock.ACCESS_EXCLUSIVE,
                [self._partition(month)],
                (),
            )

    def _columns(self, table: Table, found: FoundTable) -> Iterator[Step]:
        qualified = self._qualified(table.name)
        for column in table.columns:
            theirs = self._names.column(table.name, column.name)
            if theirs in found.columns or (table.name, column.name) in SPARE:
                continue
            name = quoted(theirs)
            yield Step(
                f"adds the column {qualified}.{name}",
                Lock.ACCESS_EXCLUSIVE,
                add_column(qualified, name, column),
                (f"ALTER TABLE {qualified} DROP COLUMN IF EXISTS {name}",),
            )
            if column.unique:
                index = f"{table.name}_{column.name}_key"
                yield self._index(index, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {qualified} ({name})")

    def _watermark(self, table: Table, found: FoundTable) -> Iterator[Step]:
        column = table.c["ingest_xid"]
        there = found.columns.get(self._names.column(table.name, column.name))
        if there and "pg_current_xact_id" not in (there.default or ""):
            qualified, name = self._qualified(table.name), self._column(table.name, column.name)
            yield Step(
                f"sets the default of {qualified}.{name}, which a refresh needs to find new rows",
                Lock.ACCESS_EXCLUSIVE,
                (f"ALTER TABLE {qualified} ALTER COLUMN {name} SET DEFAULT {default_of(column)}",),
                (),
            )

    def _event_key(self, found: FoundTable) -> Iterator[Step]:
        if not has_event_key(found, self._names):
            return
        qualified, name = self._qualified(writing.TABLE), quoted(EVENT_KEY)
        if EVENT_KEY not in found.columns:
            yield Step(
                f"adds the column {qualified}.{name}, which identifies an event that is sent again",
                Lock.ACCESS_EXCLUSIVE,
                (
                    f"ALTER TABLE {qualified} ADD COLUMN {name} text",
                    f"COMMENT ON COLUMN {qualified}.{name} IS {literal(writing.KEY_COMMENT)}",
                ),
                (f"ALTER TABLE {qualified} DROP COLUMN IF EXISTS {name}",),
            )
        if not found.indexes.get(writing.KEY_INDEX):
            # Of the events that have one: rows of the app's own cost it nothing.
            rest = f"({name}) WHERE {name} IS NOT NULL"
            # Across partitions nothing is unique without what they are made by.
            kind = "" if found.is_partitioned else "UNIQUE "
            yield self._index_of(found, writing.KEY_INDEX, qualified, rest, kind)

    def _indexes(self, table: str, found: FoundTable) -> Iterator[Step]:
        columns = {column.name: self._column(table, column.name) for column in self._metadata.tables[table].c}
        for name, (owner, rest) in INDEXES.items():
            if owner == table and not found.indexes.get(name):
                yield self._index_of(found, name, self._qualified(table), rest.format(**columns))

    def _index_of(self, found: FoundTable, name: str, table: str, rest: str, kind: str = "") -> Step:
        if not found.is_partitioned:
            return self._index(name, f"CREATE {kind}INDEX CONCURRENTLY {name} ON {table} {rest}")
        return partitioned_index(found, name, self._catalog.schema, table, rest)

    def _index(self, name: str, statement: str) -> Step:
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(self._catalog.schema, name)}"
        return Step(
            f"creates the index {name}",
            Lock.SHARE_UPDATE_EXCLUSIVE,
            # One that was interrupted is there, and not valid.
            (drop, statement),
            (drop,),
            is_concurrent=True,
        )

    def _parameters(self, table: Table, found: FoundTable) -> Iterator[Step]:
        wanted = table.dialect_options["postgresql"]["with"]
        missing = {name: value for name, value in wanted.items() if name not in found.parameters}
        if missing:
            qualified = self._qualified(table.name)
            pairs = ", ".join(f"{name} = {value}" for name, value in missing.items())
            yield Step(
                f"makes autovacuum process {qualified} after fewer inserts",
                Lock.SHARE_UPDATE_EXCLUSIVE,
                (f"ALTER TABLE {qualified} SET ({pairs})",),
                (f"ALTER TABLE IF EXISTS {qualified} RESET ({', '.join(missing)})",),
            )

    def _triggers(self) -> Iterator[Step]:
        catalog = self._catalog
        if self._makes_partitions:
            catalog = replace(catalog, tables={**catalog.tables, writing.TABLE: FoundTable(relkind="p")})
        faults = [*triggers.faults(catalog, self._names)]
        if not faults:
            return
        found = self._catalog.tables.get("prompt_usage")
        said = f": {', '.join(faults)}" if found and found.triggers.keys() & triggers.TRIGGERS.keys() else ""
        yield Step(
            f"adds triggers to {self._qualified('prompt_usage')}, which note the days of changed rows and"
            f" mark new rows{said}",
            Lock.SHARE_ROW_EXCLUSIVE,
            tuple(triggers.creation(catalog, self._names)),
            triggers.removal(self._catalog),
        )

    def _views(self) -> Iterator[Step]:
        for name in APP_TABLES:
            view = view_of(self._catalog, self._names, self._metadata.tables[name])
            found = self._catalog.views.get(name)
            if found and found.comment == view.select:
                continue
            yield Step(
                f"creates the view {view.name}",
                Lock.NONE,
                # Only one that was seen to be ours is replaced: others may make theirs at the same moment.
                (*((f"DROP VIEW {view.name}",) if found else ()), *view.statements),
                (f"DROP VIEW IF EXISTS {view.name}", drop_empty_schema(self._names.views)),
            )


def partitioned_index(found: FoundTable, name: str, schema: str, table: str, rest: str) -> Step:
    """An index of a partitioned table, made of those of its partitions, each ``CONCURRENTLY``.

    It is valid once each partition has one. Later partitions get theirs from Postgres.
    """
    whole = quoted(schema, name)
    parts = {each.name: part_of_index(name, each) for each in found.partitions}
    parents = {each.name for each in found.partitions if each.relkind == "p"}
    join: list[str] = []
    make = [f"CREATE INDEX {name} ON ONLY {table} {rest}"]
    for each in found.partitions:
        concurrently = "" if each.name in parents else " CONCURRENTLY"
        only = " ONLY" if each.name in parents else ""
        make.append(f"CREATE INDEX{concurrently} {name}_{each.oid} ON{only} {each.name} {rest}")
        # From the bottom up.
        join.insert(0, f"ALTER INDEX {parts.get(each.parent, whole)} ATTACH PARTITION {parts[each.name]}")
    # With the whole go those that are part of it; the others are of an attempt that was interrupted.
    drop = (
        f"DROP INDEX IF EXISTS {whole}",
        *(
            f"DROP INDEX{'' if each in parents else ' CONCURRENTLY'} IF EXISTS {part}"
            for each, part in parts.items()
        ),
    )
    return Step(
        f"creates the index {name}, partition by partition",
        Lock.SHARE,
        (*drop, *make, *join),
        drop,
        is_concurrent=True,
    )


def part_of_index(name: str, partition: FoundPartition) -> str:
    """What a partition's part of an index is called, in the schema of the partition."""
    return f"{partition.schema}.{name}_{partition.oid}"


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def renew_watermark(catalog: Catalog, names: TableNames) -> list[str]:
    """What makes ``ingest_xid`` anew, with its index: older rows have none. In one transaction; a moment's
    work, and a look at each row for the index.
    """
    adoption = _Adoption(catalog, names, ids_of(catalog, names))
    return list(adoption.renewal())


def views_problem(foreign: Sequence[str], names: TableNames) -> Problem:
    """The problem that the schema for the views belongs to others."""
    return Problem(
        f"the schema {quoted(names.views)} does not belong to this installation: {', '.join(foreign)}",
        f"Give this installation its own schema: add views={VIEWS_SCHEMA}_{names.schema} to"
        " PROMPT_STATS_TABLES, wherever it runs",
    )


def drop_empty_schema(schema: str) -> str:
    """The statement that drops a schema unless something is in it."""
    name = quoted(schema)
    is_empty = f"NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace({literal(name)}))"
    return f"DO $$ BEGIN IF {is_empty} THEN DROP SCHEMA IF EXISTS {name}; END IF; END $$"


@dataclass(frozen=True)
class View:
    """A table of the app under our names. Its comment is its query, by which a change is seen."""

    schema: str
    table: str
    select: str

    @property
    def name(self) -> str:
        """Its name, as SQL."""
        return quoted(self.schema, self.table)

    @property
    def statements(self) -> tuple[str, ...]:
        """Makes it."""
        return (
            f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}",
            f"CREATE VIEW {self.name} AS {self.select}",
            f"COMMENT ON VIEW {self.name} IS {literal(self.select)}",
        )


def has_event_key(found: FoundTable, names: TableNames) -> bool:
    """Whether a table that is there has, or is given, a column of ours by which an event is known again."""
    return names.column(writing.TABLE, "id") in found.columns and writing.needs_event_key(found, names)


def view_of(catalog: Catalog, names: TableNames, table: Table) -> View:
    """The view of one table: its columns and nothing else, so Postgres can write through it.

    ``tableoid`` and ``ctid`` are among them: retention removes rows by both.
    """
    found = catalog.tables.get(table.name)
    columns = []
    for column in table.columns:
        theirs = names.column(table.name, column.name)
        if found is None or theirs in found.columns or (table.name, column.name) not in SPARE:
            columns.append(f"{quoted(theirs)} AS {quoted(column.name)}")
    if found and table.name == writing.TABLE and has_event_key(found, names):
        columns.append(f"{quoted(EVENT_KEY)} AS {quoted(EVENT_KEY)}")
    source = quoted(catalog.schema, names.table(table.name))
    listed = ", ".join(["tableoid AS tableoid", "ctid AS ctid", *columns])
    return View(names.views, table.name, f"SELECT {listed} FROM {source}")  # noqa: S608  # quoted


def add_column(qualified: str, name: str, column: Column[Any]) -> tuple[str, ...]:
    """Adds a column that may be NULL, without a rewrite, then its default, then its comment.

    A constant default is there for old rows too. Another one must not be: it would be worked out for each of
    them, or say of all that they were made now.
    """
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    type_ = column.type.compile(dialect=dialect)
    default = default_of(column)
    is_constant = default is not None and "(" not in default
    return (
        f"ALTER TABLE {qualified} ADD COLUMN {name} {type_}" + (f" DEFAULT {default}" if is_constant else ""),
        *(
            (f"ALTER TABLE {qualified} ALTER COLUMN {name} SET DEFAULT {default}",)
            if default and not is_constant
            else ()
        ),
        f"COMMENT ON COLUMN {qualified}.{name} IS {literal(column.comment or '')}",
    )


def default_of(column: Column[Any]) -> str | None:
    """The default that the database has for a column of ours, as SQL."""
    return str(getattr(column.server_default, "arg", "")) or None


def wrong_type(column: Column[Any], found: FoundColumn) -> str | None:
    """What is wrong with a column's type, if anything. ``column`` is ours."""
    kind = UUID if kind_of_id(column.table.name, column.name) else type(column.type)
    kinds = COUNTERS if column.table.name == "prompts" else KINDS
    allowed = next(allowed for each, allowed in kinds.items() if issubclass(kind, each))
    return None if found.type in allowed else f"is {found.type}, and should be {' or '.join(sorted(allowed))}"
