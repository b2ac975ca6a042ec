"""Which prompt an id or a slug names: one answer for the API, the command line and the write path.

``sql/postgres/named_prompts.sql`` looks; what it finds is read here. Light: an app imports it with the
tracker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.errors import AmbiguousError, NotFoundError
from pipeline.queries import query

NAMED_PROMPTS = query("postgres/named_prompts")
"""Its parameter is ``keys``, a list of texts; its rows are pairs of a key and an id."""

LISTED = 5
"""How many prompts an error lists; it counts the others."""

Named = Mapping[str, Sequence[Any]]
"""The ids of the prompts that each key names equally well, as the database has them."""


def askable(keys: Iterable[str]) -> list[str]:
    """The keys that Postgres can be asked for: no text in it has a NUL character or half a surrogate pair."""
    return [key for key in keys if key.encode(errors="replace").decode() == key and "\0" not in key]


def by_key(rows: Iterable[Sequence[Any]]) -> Named:
    """What :data:`NAMED_PROMPTS` found."""
    found: dict[str, list[Any]] = {}
    for key, prompt_id in rows:
        found.setdefault(key, []).append(prompt_id)
    return found


def no_prompt(key: str) -> NotFoundError:
    """What to say about a key that names no prompt."""
    return NotFoundError(
        f"Looking for the prompt {key!r}",
        "there is none with this id or slug",
        "GET /prompts and prompt-stats top list those that there are",
    )


def only_id(named: Named, key: str) -> Any:
    """The id of the one prompt that a key names.

    :raises NotFoundError: it names none.
    :raises AmbiguousError: it is the slug of several; the text lists their ids.
    """
    ids = named.get(key, ())
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise no_prompt(key)
    more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
    raise AmbiguousError(
        f"Looking for the prompt {key!r}",
        f"{len(ids)} prompts have this slug: {', '.join(map(str, ids[:LISTED]))}{more}",
        "Name it by its id, or give each a slug of its own",
    )
