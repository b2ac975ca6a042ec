"""Scenes, environments, outfits and categories over all prompts."""

from __future__ import annotations

import polars as pl
from fastapi import APIRouter, Request, Response
from pydantic import Field

from pipeline.answers.comparison import with_standings
from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.lake.period_stats import PeriodStats
from pipeline.stats.rates import success_rate, success_rate_interval
from pipeline.web.api.answers import STANDING, Answer, model_of
from pipeline.web.api.periods import (
    Asked,
    AskedPeriod,
    PeriodAnswer,
    as_measured,
    count_period,
    period_fields,
    period_of,
)
from pipeline.web.api.prompts import Limit
from pipeline.web.api.reader import Rows, Stats, answer

BY_VALUE = {
    "scenes": query("web/scenes"),
    "environments": query("web/environments"),
    "outfits": query("web/outfits"),
}
CATEGORIES = query("web/categories")
MEASURED = ("usage_count", "success_count", "failure_count", "timed_count", "avg_generation_time_ms")
"""What a category is summed from."""

COLUMNS_OF_CATEGORIES = {
    "category": pl.String,
    "prompt_count": pl.Int64,
    "usage_count": pl.Int64,
    "success_count": pl.Int64,
    "failure_count": pl.Int64,
    "timed_count": pl.Int64,
    "generation_time_ms_sum": pl.Float64,
}

router = APIRouter(tags=["overall"])

OverallScene = model_of("OverallScene", tables.scene_stats, standing=STANDING)
OverallEnvironment = model_of("OverallEnvironment", tables.environment_stats, standing=STANDING)
OverallOutfit = model_of("OverallOutfit", tables.outfit_stats, standing=STANDING)


class OverallScenes(PeriodAnswer):
    """Stats by scene."""

    scenes: list[OverallScene]  # type: ignore[valid-type]  # made from the table


class OverallEnvironments(PeriodAnswer):
    """Stats by environment."""

    environments: list[OverallEnvironment]  # type: ignore[valid-type]


class OverallOutfits(PeriodAnswer):
    """Stats by outfit."""

    outfits: list[OverallOutfit]  # type: ignore[valid-type]


class Category(Answer):
    """The prompts of a category, taken together."""

    category: str | None = Field(description="Null for prompts without a category.", examples=["portrait"])
    prompt_count: int = Field(
        description="Prompts that are not deleted, used or not, and deleted ones that were used.",
        examples=[12],
    )
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None = Field(description="Percent; null without use.", examples=[91.5])
    success_rate_lower: float | None = Field(description="Lower end of its 95 % Wilson interval.")
    success_rate_upper: float | None = Field(description="Upper end of its 95 % Wilson interval.")
    avg_generation_time_ms: float | None = Field(description="Mean over the events; null if none was timed.")
    timed_count: int = Field(description="Events with a generation time, over which the mean is taken.")


class Categories(PeriodAnswer):
    """Stats by category."""

    categories: list[Category]


@router.get("/scenes", summary="All scenes", response_model=OverallScenes)
async def scenes(request: Request, stats: Stats, asked: AskedPeriod, limit: Limit = 200) -> Response:
    """Performance by scene over all prompts. Events without a scene are in the scene null."""
    return await _overall(request, stats, "scenes", asked, limit)


@router.get("/environments", summary="All environments", response_model=OverallEnvironments)
async def environments(request: Request, stats: Stats, asked: AskedPeriod, limit: Limit = 200) -> Response:
    """Performance by environment over all prompts. Events without one are in the environment null."""
    return await _overall(request, stats, "environments", asked, limit)


@router.get("/outfits", summary="All outfits", response_model=OverallOutfits)
async def outfits(request: Request, stats: Stats, asked: AskedPeriod, limit: Limit = 200) -> Response:
    """Performance by outfit over all prompts. Events without an outfit are in the outfit null."""
    return await _overall(request, stats, "outfits", asked, limit)


@router.get("/categories", summary="All categories", response_model=Categories)
async def categories(request: Request, stats: Stats, asked: AskedPeriod, limit: Limit = 200) -> Response:
    """Sums over the prompts of each category, most used first. The category null has prompts without one.

    Inactive prompts are counted too, and so are deleted ones that were used: categories add up to what
    `/overview` has. The category null also has the prompts that no longer exist.
    """
    if asked.is_given:
        period = await period_of(stats, asked)

        def count(each: PeriodStats) -> str:
            return as_measured(each.usage().select("prompt_id", *MEASURED))

        found, measured, may_be_kept = await count_period(request, stats, period, count)
        rows = (await stats.read((CATEGORIES, {"limit": limit, "measured": measured})))[0]
        body = {**period_fields(period), "categories": _with_rates(rows)}
        return answer(request, found, body, may_be_kept=may_be_kept)
    found = await stats.read((CATEGORIES, {"limit": limit, "measured": None}))
    return answer(request, found, {"categories": _with_rates(found[0])}, may_be_kept=True)


def _with_rates(rows: Rows) -> Rows:
    timed = pl.col("timed_count")
    counted = pl.DataFrame(rows, schema=COLUMNS_OF_CATEGORIES).select(
        "category",
        "prompt_count",
        "usage_count",
        "success_count",
        "failure_count",
        success_rate(),
        *success_rate_interval(),
        pl.when(timed > 0).then(pl.col("generation_time_ms_sum") / timed).alias("avg_generation_time_ms"),
        "timed_count",
    )
    return counted.to_dicts()


async def _overall(request: Request, stats: Stats, name: str, asked: Asked, limit: int) -> Response:
    if not asked.is_given:
        found = await stats.read((BY_VALUE[name], {"limit": limit}))
        return answer(request, found, {name: with_standings(found[0])}, may_be_kept=True)
    period = await period_of(stats, asked)

    def count(each: PeriodStats) -> Rows:
        return with_standings(each.overall(name.removesuffix("s")).head(limit).to_dicts())

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    return answer(request, found, {**period_fields(period), name: rows}, may_be_kept=may_be_kept)
