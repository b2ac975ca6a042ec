"""Exports a stats table with the numbers of a range of days instead of all time.

Counted from the lake when somebody asks, and written as ``pipeline.answers.export`` writes what is published.
There are fewer columns: windows that end with today, users and favourites are not of the days asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING

from sqlalchemy import Text, cast, select

from pipeline.answers.comparison import Asked
from pipeline.answers.export import PROMPT_NAME, TIMES, Chunk, Export, Format, open_export, writer_of
from pipeline.answers.reading import stats_asked_for
from pipeline.database.tables import prompts
from pipeline.errors import InputError
from pipeline.installation import Installation
from pipeline.lake import source

if TYPE_CHECKING:
    # polars takes a moment to import.
    import polars as pl

    from pipeline.lake.period_stats import PeriodStats

_VALUES = ("scene", "environment", "outfit")
TABLES = (
    "prompt_stats",
    *(f"prompt_{value}_stats" for value in _VALUES),
    *(f"{value}_stats" for value in _VALUES),
    "prompt_daily_stats",
    "prompt_error_stats",
)
"""Those that can be counted for some days."""

COUNTS = ("usage_count", "error_count")
"""The first column of a table after those that tell its rows apart."""


@contextmanager
def opened_export(
    installation: Installation, name: str, kind: Format, asked: Asked | None, *, raw: bool = False
) -> Iterator[Export]:
    """The table of that name: as it is published, or of the days asked for.

    As :func:`open_export` and :func:`period_export` have it, which say what they raise.
    """
    if asked:
        yield period_export(installation, name, kind, asked, raw=raw)
    else:
        with open_export(installation.database, name, kind, raw=raw) as found:
            yield found


def period_export(
    installation: Installation, name: str, kind: Format, asked: Asked, *, raw: bool = False
) -> Export:
    """The table of that name for the given days, which Parquet's metadata names.

    :raises InputError: it is kept for all time alone, or there are no such days, or too many.
    :raises LakeError: the lake can't be read.
    """
    if name not in TABLES:
        raise InputError(
            f"Exporting {name} for a range of days",
            "this table can't be counted for a range of days",
            f"Leave out the days, or choose one of {', '.join(TABLES)}",
        )
    with installation.database.engine.connect() as connection:
        latest = source.latest_refresh(connection) or {}
        said, stats = stats_asked_for(connection, installation.lake, latest, asked)
        rows = _counted(stats, name)
        rows = rows.sort(takewhile(lambda column: column not in COUNTS, rows.columns), nulls_last=True)
        if "prompt_id" in rows.columns:
            names = select(cast(prompts.c.id, Text).label("id"), cast(prompts.c.name, Text).label("name"))
            rows = _with_names(rows, {row.id: row.name for row in connection.execute(names)})
    about = {"table": name, "as_of": str(latest.get("as_of") or "")}
    about |= {key: str(value) for key, value in said.items()}
    chunks = _chunks(rows, kind, about, raw=raw)
    return Export(latest.get("as_of"), latest.get("lag_seconds"), rows.height, chunks)


def _counted(stats: PeriodStats, name: str) -> pl.DataFrame:
    match name.removesuffix("_stats").split("_"):
        case ["prompt"]:
            return stats.prompts()
        case ["prompt", "daily"]:
            return stats.daily()
        case ["prompt", "error"]:
            return stats.errors()
        case ["prompt", value]:
            return stats.by_prompt(value)
        case [value]:
            return stats.overall(value)
    raise ValueError(f"{name} is none of {TABLES}")


def _with_names(rows: pl.DataFrame, names: dict[str, str | None]) -> pl.DataFrame:
    import polars as pl

    known = {"prompt_id": [*names], PROMPT_NAME: [*names.values()]}
    frame = pl.DataFrame(known, schema={"prompt_id": pl.String, PROMPT_NAME: pl.String})
    return rows.join(frame, on="prompt_id", how="left", maintain_order="left")


def _chunks(rows: pl.DataFrame, kind: Format, about: dict[str, str], *, raw: bool) -> Iterator[Chunk]:
    import polars as pl
    import pyarrow as pa

    if kind is Format.JSON:
        texts = rows.with_columns(pl.col(pl.Datetime).dt.strftime(TIMES)).write_ndjson()
        content = pa.table({"row": [line for line in texts.split("\n") if line]})
    else:
        content = rows.to_arrow()
    yield from writer_of(kind, raw=raw)(content.schema.with_metadata(about), iter(content.to_batches()))
