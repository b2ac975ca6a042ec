"""Which prompt an id, a slug or a name means: one answer for the API, the command line and the write path.

``sql/database/named_prompts.sql`` looks for ids and slugs, ``prompts_by_name.sql`` for what is neither; what
they find is read here. The write path takes ids and slugs alone. Light: an app imports it with the tracker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.database.queries import query
from pipeline.errors import AmbiguousError, NotFoundError

NAMED_PROMPTS = query("database/named_prompts")
"""Its parameter is ``keys``, a list of texts; its rows are pairs of a key and an id."""

PROMPTS_BY_NAME = query("database/prompts_by_name")
"""The same for keys that are no id and no slug: they may be names."""

LISTED = 5
"""How many prompts an error lists; it counts the others."""

Named = Mapping[str, Sequence[Any]]
"""The ids of the prompts that each key names equally well, as the database has them."""

Ask = Callable[[str, dict[str, list[str]]], Iterable[Sequence[Any]]]
"""Runs a statement with its parameters and hands back pairs of a key and an id."""


def askable(keys: Iterable[str]) -> list[str]:
    """The keys that Postgres can be asked for: no text in it has a NUL character or half a surrogate pair."""
    return [key for key in keys if key.encode(errors="replace").decode() == key and "\0" not in key]


def by_key(rows: Iterable[Sequence[Any]]) -> Named:
    """What :data:`NAMED_PROMPTS` found."""
    found: dict[str, list[Any]] = {}
    for key, prompt_id in rows:
        found.setdefault(key, []).append(prompt_id)
    return found


def named_by(ask: Ask, keys: Iterable[str]) -> Named:
    """The prompts that each key names: by id or slug, and only where there is none by name."""
    wanted = askable(keys)
    named = by_key(ask(NAMED_PROMPTS, {"keys": wanted}))
    others = [key for key in wanted if key not in named]
    return {**named, **by_key(ask(PROMPTS_BY_NAME, {"keys": others}))} if others else named


def no_prompt(key: str) -> NotFoundError:
    """What to say about a key that names no prompt."""
    return NotFoundError(
        f"Looking for the prompt {key!r}",
        "there is none with this id, slug or name",
        "GET /prompts and prompt-stats top list the existing ones",
    )


def only_id(named: Named, key: str) -> Any:
    """The id of the one prompt that a key names.

    :raises NotFoundError: it names none.
    :raises AmbiguousError: it is the slug or the name of several; the text lists their ids.
    """
    ids = named.get(key, ())
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise no_prompt(key)
    more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    raise AmbiguousError(
        f"Looking for the prompt {key!r}",
        f"{len(ids)} prompts have this name or slug: {', '.join(map(str, ids[:LISTED]))}{more}",
        "Use the id, or give each prompt its own slug",
    )


def id_of(ask: Ask, key: str) -> Any:
    """The same, looked up.

    :raises NotFoundError: it names none.
    :raises AmbiguousError: it is the slug or the name of several; the text lists their ids.
    """
    return only_id(named_by(ask, [key]), key)
