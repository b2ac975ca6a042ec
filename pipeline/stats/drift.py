"""How far counters that an app kept for itself are from what is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from pipeline import formats

COUNTERS = {
    "usage_count": "uses",
    "success_count": "successes",
    "failure_count": "failures",
    "favorite_count": "favourites",
}
"""The counters of ``prompts``, and what people call them."""

LISTED = 100_000
"""Prompts of which a report says what they had, about 20 MB as JSON; it counts them all."""

Drift = dict[str, Any]
"""A report, as JSON has it.

``prompt_count``: prompts compared; ``differing_count``: those of which any counter differs. ``counters``: by
counter what all prompts ``had`` and what is ``counted``, in sum, and its own ``differing_count``.
``prompts``: those that differ, the largest difference first, each with ``prompt_id``, ``had``, ``counted``.
"""


def counter_drift(had: pl.DataFrame, counted: pl.DataFrame) -> Drift | None:
    """Compares the counters of prompts that are in both frames; None if nobody kept any.

    Both have ``prompt_id`` and :data:`COUNTERS`. A counter that is 0 or NULL in every prompt was not
    kept, and is left out; else NULL counts as 0, as an app shows it.
    """
    kept = [name for name in COUNTERS if had.select((pl.col(name).fill_null(0) != 0).any()).item()]
    if not kept:
        return None
    both = had.select("prompt_id", *kept).join(
        counted.select("prompt_id", *kept), on="prompt_id", suffix="_counted"
    )
    difference = {name: (pl.col(f"{name}_counted") - pl.col(name).fill_null(0)).abs() for name in kept}
    differing = both.filter(pl.any_horizontal(each != 0 for each in difference.values()))
    largest = differing.sort(
        pl.max_horizontal(difference.values()), "prompt_id", descending=[True, False]
    ).head(LISTED)
    return {
        "prompt_count": both.height,
        "differing_count": differing.height,
        "counters": {
            name: {
                "had": int(both[name].sum()),
                "counted": int(both[f"{name}_counted"].sum()),
                "differing_count": both.filter(each != 0).height,
            }
            for name, each in difference.items()
        },
        "prompts": largest.select(
            "prompt_id",
            pl.struct(kept).alias("had"),
            pl.struct(pl.col(f"{name}_counted").alias(name) for name in kept).alias("counted"),
        ).to_dicts(),
    }


def summary(drift: Drift) -> str:
    """The report as a sentence without a full stop."""
    sums = ", ".join(
        f"{formats.count(sums['had'])} {COUNTERS[name]} were {formats.count(sums['counted'])}"
        for name, sums in drift["counters"].items()
    )
    differing, prompts = formats.count(drift["differing_count"]), formats.count(drift["prompt_count"])
    return f"the counters of {differing} of {prompts} prompts differed; in sum {sums}"


def rows(drift: Drift, names: Mapping[str, str], largest: int) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a short table: what the prompts that differ most had → what is counted.

    ``names``: what to call prompts, by id. The last row is the sum of all.
    """
    kept = [*drift["counters"]]
    shown = drift["prompts"][:largest]
    lines = [
        [
            names.get(each["prompt_id"], each["prompt_id"]),
            *(_change(each["had"][name], each["counted"][name]) for name in kept),
        ]
        for each in shown
    ]
    sums = [_change(each["had"], each["counted"]) for each in drift["counters"].values()]
    lines.append([f"sum of {formats.count(drift['prompt_count'])} prompts", *sums])
    return ["prompt", *(COUNTERS[name] for name in kept)], lines


def _change(had: int | None, counted: int) -> str:
    if had == counted:
        return formats.count(counted)
    return f"{formats.count(had)} → {formats.count(counted)}"
