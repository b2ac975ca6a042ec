"""Scenes, environments, outfits and categories over all prompts."""

from __future__ import annotations

import polars as pl
from fastapi import APIRouter, Request, Response
from pydantic import Field

from pipeline import tables
from pipeline.api.answers import Answer, StatsAnswer, model_of
from pipeline.api.prompts import Limit
from pipeline.api.reader import Stats, answer
from pipeline.queries import query
from pipeline.stats.rates import success_rate, success_rate_interval

SCENES = query("api/scenes")
ENVIRONMENTS = query("api/environments")
OUTFITS = query("api/outfits")
CATEGORIES = query("api/categories")
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

OverallScene = model_of("OverallScene", tables.scene_stats)
OverallEnvironment = model_of("OverallEnvironment", tables.environment_stats)
OverallOutfit = model_of("OverallOutfit", tables.outfit_stats)


class OverallScenes(StatsAnswer):
    """Stats by scene."""

    scenes: list[OverallScene]  # type: ignore[valid-type]  # made from the table


class OverallEnvironments(StatsAnswer):
    """Stats by environment."""

    environments: list[OverallEnvironment]  # type: ignore[valid-type]


class OverallOutfits(StatsAnswer):
    """Stats by outfit."""

    outfits: list[OverallOutfit]  # type: ignore[valid-type]


class Category(Answer):
    """The prompts of a category, taken together."""

    category: str | None = Field(description="Null is that of prompts without one.", examples=["portrait"])
    prompt_count: int = Field(description="Its prompts that are not deleted, used or not.", examples=[12])
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None = Field(description="Percent; null without use.", examples=[91.5])
    success_rate_lower: float | None = Field(description="Lower end of its 95 % Wilson interval.")
    success_rate_upper: float | None = Field(description="Upper end of its 95 % Wilson interval.")
    avg_generation_time_ms: float | None = Field(description="Mean over the events; null if none was timed.")
    timed_count: int = Field(description="Events with a generation time: what the mean is of.")


class Categories(StatsAnswer):
    """Stats by category."""

    categories: list[Category]


@router.get("/scenes", summary="All scenes", response_model=OverallScenes)
async def scenes(request: Request, stats: Stats, limit: Limit = 200) -> Response:
    """Performance by scene over all prompts; null is that of events without one."""
    return await _overall(request, stats, "scenes", SCENES, limit)


@router.get("/environments", summary="All environments", response_model=OverallEnvironments)
async def environments(request: Request, stats: Stats, limit: Limit = 200) -> Response:
    """Performance by environment over all prompts; null is that of events without one."""
    return await _overall(request, stats, "environments", ENVIRONMENTS, limit)


@router.get("/outfits", summary="All outfits", response_model=OverallOutfits)
async def outfits(request: Request, stats: Stats, limit: Limit = 200) -> Response:
    """Performance by outfit over all prompts; null is that of events without one."""
    return await _overall(request, stats, "outfits", OUTFITS, limit)


@router.get("/categories", summary="All categories", response_model=Categories)
async def categories(request: Request, stats: Stats, limit: Limit = 200) -> Response:
    """What the prompts of each category add up to; null is that of prompts without one. Most used first.

    Deleted prompts are left out, those that are not active are not.
    """
    found = await stats.read((CATEGORIES, {"limit": limit}))
    timed = pl.col("timed_count")
    rows = pl.DataFrame(found[0], schema=COLUMNS_OF_CATEGORIES).select(
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
    return answer(request, found, {"categories": rows.to_dicts()}, may_be_kept=True)


async def _overall(request: Request, stats: Stats, name: str, statement: str, limit: int) -> Response:
    found = await stats.read((statement, {"limit": limit}))
    return answer(request, found, {name: found[0]}, may_be_kept=True)
