"""Scenes, environments and outfits over all prompts."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pipeline import tables
from pipeline.api.access import Reader
from pipeline.api.answers import StatsAnswer, model_of
from pipeline.api.prompts import Limit
from pipeline.api.reader import Stats, answer
from pipeline.queries import query

SCENES = query("api/scenes")
ENVIRONMENTS = query("api/environments")
OUTFITS = query("api/outfits")

router = APIRouter(tags=["overall"], dependencies=[Reader])

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


async def _overall(request: Request, stats: Stats, name: str, statement: str, limit: int) -> Response:
    found = await stats.read((statement, {"limit": limit}))
    return answer(request, found, {name: found[0]})
