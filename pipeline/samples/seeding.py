"""Imports prompts from a file into ``prompts``. It may be repeated.

The file is a list of prompts in YAML or JSON. ``pipeline/samples/data/prompts.yaml`` is the shipped one.
Counters belong to the pipeline, and are never touched here.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Text,
    any_,
    bindparam,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.types import UserDefinedType

from pipeline.adoption.catalog import FoundColumn, read_catalog
from pipeline.adoption.ids import group_of
from pipeline.database.connections import Database
from pipeline.database.locks import Lock, lock_transaction
from pipeline.database.tables import prompts
from pipeline.errors import InputError
from pipeline.names import TableNames

SHIPPED_FILE = Path(__file__).parent / "data" / "prompts.yaml"

PROBLEMS_SHOWN = 10
"""How many problems of a file an error lists. It only counts the others."""

MERGE_TAG = "tag:yaml.org,2002:merge"
MERGED_MAX = 100
"""Fields that an entry may have from others by merge keys; a prompt has a tenth of that."""

Category = Literal[
    "portrait",
    "fullbody",
    "lifestyle",
    "fashion",
    "fitness",
    "social_media",
    "artistic",
    "video_reference",
]


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL character can't be stored")
    return value


FilledText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_storable)]


class SeedPrompt(BaseModel):
    """One entry of a file: the whole prompt, so an optional field that is left out becomes NULL.

    Fields are the columns of ``prompts`` with the same names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: Annotated[str, StringConstraints(pattern="^[a-z0-9]+(-[a-z0-9]+)*$")]
    name: FilledText
    category: Category
    template: FilledText
    description: FilledText | None = None
    subcategory: FilledText | None = None
    negative_prompt: FilledText | None = None
    required_dna: list[FilledText] = []
    tags: list[FilledText] = []
    rating: FilledText | None = None
    recommended_workflow: FilledText | None = None
    aspect_ratio: FilledText | None = None


@dataclass(frozen=True)
class SeedReport:
    """How many prompts of the file were new, changed, and already as they should be.

    ``rejected`` is 0: a file with an entry that can't be used changes nothing and is an error.
    """

    imported: int
    updated: int
    unchanged: int
    rejected: int = 0


def seed_prompts(database: Database, file: Path | None = None) -> SeedReport:
    """Brings ``prompts`` in line with the file, by default with the shipped one.

    The file is YAML, or JSON if it is named ``.json``. The slug tells which prompt an entry is; prompts
    that the file does not name stay as they are. All is one transaction, and seedings at once take turns.

    :raises InputError: the file can't be read, or an entry can't be used. The text names the places;
        nothing was written.
    """
    file = file or SHIPPED_FILE
    entries = read_prompts(file)
    written = []
    with database.engine.begin() as connection:
        # The publish updates prompts too, in an order of its own: at once, the two could deadlock.
        lock_transaction(connection, Lock.PUBLISH)
        known = _known(connection, entries)
        columns = _columns(connection, database.names)
        new_id = _new_id(columns["id"], file) if len(known) < len(entries) else None
        for number, entry in enumerate(entries, start=1):
            found = known.get(entry.slug, [])
            if len(found) > 1:
                several = f"{_place(number, entry)}: the prompts {', '.join(found)} have this slug"
                raise _rejection(file, len(entries), {number: [several]})
            try:
                is_written = _write(connection, _values(entry, columns), new_id, *found)
            except (DataError, IntegrityError) as error:
                refused = f"{_place(number, entry)}: {str(error.orig).splitlines()[0]}"
                raise _rejection(file, len(entries), {number: [refused]}) from error
            if is_written:
                written.append(entry.slug)
    updated = len(known.keys() & written)
    return SeedReport(imported=len(written) - updated, updated=updated, unchanged=len(entries) - len(written))


def read_prompts(file: Path) -> list[SeedPrompt]:
    """The prompts of a file, in its order; at least one, each with a slug of its own.

    :raises InputError: it can't be read, or an entry can't be used.
    """
    given = _read_list(file)
    entries: list[SeedPrompt] = []
    problems: dict[int, list[str]] = {}
    first_with: dict[str, int] = {}
    for number, fields in enumerate(given, start=1):
        found = []
        slug = fields.get("slug") if isinstance(fields, dict) else None
        if isinstance(slug, str) and first_with.setdefault(slug, number) != number:
            found.append(f"{_place(number, fields)}, slug: entry {first_with[slug]} has the same")
        try:
            entries.append(SeedPrompt.model_validate(fields))
        except ValidationError as error:
            found += [_problem(number, fields, dict(detail)) for detail in error.errors(include_url=False)]
        if found:
            problems[number] = found
    if problems:
        raise _rejection(file, len(given), problems)
    return entries


class _Untyped(UserDefinedType[object]):
    """Leaves the type of a parameter to Postgres."""

    cache_ok = True


def _known(connection: Connection, entries: Sequence[SeedPrompt]) -> dict[str, list[str]]:
    """The ids of the prompts that have the entries' slugs: of living ones, if there are any."""
    slugs = literal([entry.slug for entry in entries], ARRAY(Text))
    has_slug = cast(prompts.c.slug, Text) == any_(slugs)
    is_living = prompts.c.deleted_at.is_(None)
    key = cast(prompts.c.id, Text)
    found: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    for slug, prompt_id, is_one in connection.execute(
        select(prompts.c.slug, key, is_living).where(has_slug).order_by(key)
    ):
        found[is_one].setdefault(slug, []).append(prompt_id)
    return found[False] | found[True]


def _columns(connection: Connection, names: TableNames) -> dict[str, FoundColumn]:
    """What the app's ``prompts`` has for each column of ours."""
    found = read_catalog(connection, names).tables["prompts"].columns
    return {each.name: found[names.column("prompts", each.name)] for each in prompts.columns}


def _new_id(column: FoundColumn, file: Path) -> ColumnElement[Any] | None:
    """What makes the id of a new prompt; None: the database does.

    :raises InputError: nothing does.
    """
    if column.default is not None or column.is_generated:
        return None
    kind = group_of(column.type)
    if kind not in ("uuid", "text"):
        raise InputError(
            f"Seeding prompts from {file}",
            f"the ids of prompts are {column.type} without a default, so a new prompt would have no id",
            "Let the database generate them, as in ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY",
        )
    return func.gen_random_uuid() if kind == "uuid" else cast(func.gen_random_uuid(), Text)


def _values(entry: SeedPrompt, columns: Mapping[str, FoundColumn]) -> dict[str, ColumnElement[Any]]:
    """An entry's fields as the app's columns take them; those that the database makes are left out."""

    def value(name: str, given: Any) -> ColumnElement[Any]:
        type_ = columns[name].type
        if isinstance(given, list) and type_ != "ARRAY":
            return literal(given, JSON() if type_ == "json" else JSONB())
        # Without a type it fits an enum of the app, and an array of one, too.
        return bindparam(name, given, _Untyped())

    return {
        name: value(name, given)
        for name, given in entry.model_dump().items()
        if not columns[name].is_generated
    }


def _write(
    connection: Connection,
    values: dict[str, ColumnElement[Any]],
    new_id: ColumnElement[Any] | None,
    prompt_id: str | None = None,
) -> bool:
    """Inserts one prompt, or updates that with the id; False: it was already so, and was not written."""
    if prompt_id is None:
        made = {} if new_id is None else {"id": new_id}
        connection.execute(insert(prompts).values(**values, **made, is_system_prompt=True))
        return True
    given = {name: value for name, value in values.items() if name != "slug"}
    statement = (
        update(prompts)
        .where(cast(prompts.c.id, Text) == prompt_id)
        .where(or_(*(_differs(prompts.c[name], value) for name, value in given.items())))
        .values(**given, updated_at=func.now())
    )
    return connection.execute(statement).rowcount > 0


def _differs(column: ColumnElement[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(value.type, JSON):
        # Of json there is no equality.
        return func.to_jsonb(column).is_distinct_from(cast(value, JSONB))
    return column.is_distinct_from(value)


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar but null as text: plain YAML takes ``9:16`` for 556 and ``no`` for false.

    Merge keys (``<<: *defaults``) copy what they name, so that a few lines could make a file of any size.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._merging: list[yaml.Node] = []

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As PyYAML's, within :data:`MERGED_MAX`.

        :raises ConstructorError: a mapping merges more, or itself.
        """
        merged = [value for key, value in node.value if key.tag == MERGE_TAG]
        if not merged:
            return
        is_too_much = sum(len(each.value) for each in merged) > MERGED_MAX or node in self._merging
        if not is_too_much:
            self._merging.append(node)
            super().flatten_mapping(node)
            self._merging.pop()
            is_too_much = len(node.value) > MERGED_MAX
        if is_too_much:
            raise yaml.constructor.ConstructorError(
                None, None, f"an entry merges itself, or more than {MERGED_MAX} fields", node.start_mark
            )


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_list(file: Path) -> list[Any]:
    try:
        # A byte order mark, as some editors write it, is no part of the text.
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error), "Name a file that you may read") from error
    except UnicodeDecodeError as error:
        raise _unreadable(file, f"byte {error.start + 1} is not UTF-8", "Save it as UTF-8") from error
    try:
        # The loader derives from the safe one.
        content = json.loads(text) if file.suffix.lower() == ".json" else yaml.load(text, _TextLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(file, _syntax_problem(error, text), "Correct it there") from error
    if isinstance(content, dict) and content.keys() == {"prompts"}:
        content = content["prompts"]
    if not isinstance(content, list) or not content:
        raise _unreadable(
            file,
            "it holds no list of prompts",
            "Write a list of entries, each with at least slug, name, category and template",
        )
    return content


def _syntax_problem(error: Exception, text: str) -> str:
    match error:
        case json.JSONDecodeError():
            return f"line {error.lineno}, column {error.colno}: {error.msg}"
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            said = ", ".join(filter(None, (error.context, error.problem)))
            return f"line {mark.line + 1}, column {mark.column + 1}: {said}"
        case yaml.reader.ReaderError():
            before = text[: error.position].split("\n")
            return f"line {len(before)}, column {len(before[-1]) + 1}: {error.reason}"
        case _:
            return str(error)


def _problem(number: int, fields: object, detail: dict[str, Any]) -> str:
    if not isinstance(fields, dict):
        return f"{_place(number, fields)}: should have fields, is {reprlib.repr(fields)}"
    field = ", item ".join(str(part + 1 if isinstance(part, int) else part) for part in detail["loc"])
    wrong = detail["msg"].removeprefix("Value error, ")
    given = "" if detail["type"] == "missing" else f", not {reprlib.repr(detail['input'])}"
    return f"{_place(number, fields)}, {field}: {wrong[0].lower()}{wrong[1:]}{given}"


def _place(number: int, entry: object) -> str:
    slug = entry.get("slug") if isinstance(entry, dict) else getattr(entry, "slug", None)
    return f"entry {number} ({slug})" if isinstance(slug, str) else f"entry {number}"


def _rejection(file: Path, entry_count: int, problems: dict[int, list[str]]) -> InputError:
    lines = [line for found in problems.values() for line in found]
    shown = lines[:PROBLEMS_SHOWN]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more")
    listed = "".join(f"\n  {line}" for line in shown)
    return InputError(
        f"Seeding prompts from {file}",
        f"not every entry can be used{listed}\n"
        f"{len(problems)} of {entry_count} entries were rejected, so nothing was written",
        "Correct them and seed again",
    )


def _unreadable(file: Path, wrong: str, remedy: str) -> InputError:
    return InputError(f"Reading prompts from {file}", wrong, remedy)
