"""Prompts: their stats, rankings, times and errors."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline import tables
from pipeline.api.addresses import STORABLE, Key, Keys, asked_keys
from pipeline.api.answers import Answer, StatsAnswer, model_of
from pipeline.api.problems import Problem
from pipeline.api.reader import Id, Stats, answer, only
from pipeline.days import ONE_DAY
from pipeline.errors import NotFoundError
from pipeline.lake.period_stats import generation_times
from pipeline.queries import query

PROMPT = query("api/prompt")
PROMPT_STATS = query("api/prompt_stats")
MOST_USED_PROMPTS = query("api/most_used_prompts")
RANKED_PROMPTS = query("api/ranked_prompts")
LISTED_PROMPTS = query("api/listed_prompts")
PROMPT_ERRORS = query("api/prompt_errors")
PROMPT_VALUE_ERRORS = query("api/prompt_value_errors")
BY_VALUE = {
    "scenes": query("api/prompt_scenes"),
    "environments": query("api/prompt_environments"),
    "outfits": query("api/prompt_outfits"),
}

COMPARED_MAX = 20

router = APIRouter(tags=["prompts"])

Limit = Annotated[int, Query(ge=1, le=200, description="How many, at most.")]
Text = Annotated[str | None, Query(pattern=STORABLE)]


class By(StrEnum):
    """What a prompt's events are told apart by."""

    SCENES = "scenes"
    ENVIRONMENTS = "environments"
    OUTFITS = "outfits"


class Ranking(StrEnum):
    """What prompts are ranked by."""

    USAGE = "usage"
    FAVORED = "favored"
    BEST = "best"
    FAILING = "failing"
    SLOWEST = "slowest"
    RISING = "rising"
    FALLING = "falling"


Prompt = model_of("Prompt", tables.prompts)
ListedPrompt = model_of(
    "ListedPrompt", tables.prompts, is_favorite=(bool, "Whether it is a favourite of the user asked for.")
)
PromptError = model_of("PromptError", tables.prompt_error_stats, without=("prompt_id",))
PromptValueError = model_of(
    "PromptValueError", tables.prompt_value_error_stats, without=("prompt_id", "dimension")
)
COUNTED_DAILY = {
    column.name: (column.type.python_type | None, f"{column.comment} As of valueStatsAsOf; null before that.")
    for column in tables.prompt_value_stats.c
    if column.name not in ("prompt_id", "dimension", "value", "usage_count", "timed_count")
}
SceneStats = model_of("SceneStats", tables.prompt_scene_stats, without=("prompt_id",), **COUNTED_DAILY)
EnvironmentStats = model_of(
    "EnvironmentStats", tables.prompt_environment_stats, without=("prompt_id",), **COUNTED_DAILY
)
OutfitStats = model_of("OutfitStats", tables.prompt_outfit_stats, without=("prompt_id",), **COUNTED_DAILY)
_stats = model_of(
    "_PromptStats",
    tables.prompt_stats,
    without=("usage_count", "success_rate", "stats_as_of"),
    total_usage=(int, "Events: count(*)."),
    success_rate=(float, "Percent: successCount / totalUsage * 100; 0 if it was never used."),
)


class PromptStats(StatsAnswer, _stats):  # type: ignore[misc,valid-type]  # made from the table
    """The stats of one prompt."""


class PromptAnswer(StatsAnswer):
    """A prompt as the app has it, with its counters."""

    prompt: Prompt  # type: ignore[valid-type]


class PromptsAnswer(StatsAnswer):
    """Prompts, and how many there are in all."""

    total_count: int
    prompts: list[ListedPrompt]  # type: ignore[valid-type]


class ByValueAnswer(StatsAnswer):
    """Percentiles, users and periods by value are counted once a day: as of ``valueStatsAsOf``."""

    value_stats_as_of: dt.datetime | None


class ScenesAnswer(ByValueAnswer):
    """Stats by scene; ``scene`` null is that of events without one."""

    scenes: list[SceneStats]  # type: ignore[valid-type]


class EnvironmentsAnswer(ByValueAnswer):
    """Stats by environment; null is that of events without one."""

    environments: list[EnvironmentStats]  # type: ignore[valid-type]


class OutfitsAnswer(ByValueAnswer):
    """Stats by outfit; null is that of events without one."""

    outfits: list[OutfitStats]  # type: ignore[valid-type]


class ErrorsAnswer(StatsAnswer):
    """Errors by kind: messages with numbers, ids and addresses folded."""

    errors: list[PromptError]  # type: ignore[valid-type]


class ValueErrorsAnswer(ByValueAnswer):
    """Errors by kind and by scene, environment or outfit; null is that of events without one."""

    errors: list[PromptValueError]  # type: ignore[valid-type]


class CompareAnswer(StatsAnswer):
    """Stats of several prompts, in the order asked for."""

    prompts: list[_stats]  # type: ignore[valid-type]


class RankedPrompt(Answer):
    """A prompt of a ranking."""

    prompt_id: Id
    slug: str | None
    name: str
    category: str | None
    score: float = Field(description="What it is ranked by.")
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    avg_generation_time_ms: float | None
    last_used_at: dt.datetime | None
    favorite_count: int
    usage_count_7d: int
    usage_count_previous_7d: int


class RankingAnswer(StatsAnswer):
    """Prompts by falling score."""

    prompts: list[RankedPrompt]


class TimeBucket(Answer):
    """A bucket of the histogram of generation times."""

    from_ms: float = Field(description="Milliseconds: its times are longer.", examples=[1001.2])
    to_ms: float = Field(description="Milliseconds: none is longer.", examples=[1042.1])
    usage_count: int = Field(description="Events that took so long.", examples=[17])


class TimesAnswer(StatsAnswer):
    """How long generations took, in buckets. Times below 1 ms are one bucket, from 0."""

    times: list[TimeBucket]


@router.get("/prompts", summary="List and search prompts", response_model=PromptsAnswer)
async def list_prompts(
    request: Request,
    stats: Stats,
    *,
    category: Text = None,
    rating: Text = None,
    tag: Text = None,
    search: Annotated[Text, Query(description="Part of the name, slug, description or template.")] = None,
    active: Annotated[bool | None, Query(description="Only active ones, or only the others.")] = True,
    user_id: Annotated[Text, Query(alias="userId", description="Whose favourites come first.")] = None,
    limit: Limit = 50,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> Response:
    """Prompts that are not deleted; the user's favourites first, then the most used."""
    values = {
        "category": category,
        "rating": rating,
        "tag": tag,
        "search": search,
        "active": active,
        "user_id": user_id,
        "limit": limit,
        "offset": offset,
    }
    found = await stats.read((LISTED_PROMPTS, values))
    counts = [row.pop("total_count") for row in found[0]]
    if offset and not counts:
        first = await stats.read((LISTED_PROMPTS, {**values, "limit": 1, "offset": 0}))
        counts = [row["total_count"] for row in first[0]]
    return answer(
        request,
        found,
        {"total_count": counts[0] if counts else 0, "prompts": found[0]},
        # A user's favourites change by requests of the user's own.
        may_be_kept=user_id is None,
    )


@router.get("/prompts/top/used", summary="The most used prompts", response_model=list[Prompt])  # type: ignore[valid-type]
async def top_used(request: Request, stats: Stats, limit: Limit = 10) -> Response:
    """Active prompts that are not deleted: most used first, then most successes. As the app has them.

    As of when the counters are stands in the headers `Stats-As-Of` and `Stats-Lag-Seconds`. The same with
    filters, as a ranking: `/prompts/top/usage`.
    """
    found = await stats.read((MOST_USED_PROMPTS, {"limit": limit}))
    return answer(request, found, found[0], may_be_kept=True)


@router.get("/prompts/compare", summary="Compare prompts", response_model=CompareAnswer | PromptAnswer)
async def compare(
    request: Request,
    stats: Stats,
    ids: Keys = None,
) -> Response:
    """The stats of several prompts, 20 at most, beside each other.

    Without `ids`: the prompt with the slug `compare`, as `GET /prompts/{key}` has it.
    """
    if ids is None:
        return await prompt_named(request, stats, "compare")
    prompt_ids = await stats.prompt_ids(asked_keys(ids, COMPARED_MAX))
    found = await stats.read(*((PROMPT_STATS, {"prompt_id": prompt_id}) for prompt_id in prompt_ids))
    return answer(
        request, found, {"prompts": [row for rows in found.results for row in rows]}, may_be_kept=True
    )


@router.get("/prompts/{key:segment}", summary="One prompt", response_model=PromptAnswer)
async def prompt(request: Request, stats: Stats, key: Key) -> Response:
    """The prompt as the app has it, with its counters."""
    found = await stats.read((PROMPT, {"prompt_id": await stats.prompt_id(key)}))
    return answer(request, found, {"prompt": only(found[0], key)}, may_be_kept=True)


@router.get("/prompts/{key:segment}/stats", summary="The stats of a prompt", response_model=PromptStats)
async def prompt_stats(request: Request, stats: Stats, key: Key) -> Response:
    """Counts, success rate with its interval, times, users, and how use has changed."""
    found = await stats.read((PROMPT_STATS, {"prompt_id": await stats.prompt_id(key)}))
    return answer(request, found, only(found[0], key), may_be_kept=True)


@router.get("/prompts/{key:segment}/scenes", summary="A prompt by scene", response_model=ScenesAnswer)
async def prompt_scenes(request: Request, stats: Stats, key: Key) -> Response:
    """How the prompt did in each scene, the most used first."""
    return await _by_value(request, stats, key, "scenes")


@router.get(
    "/prompts/{key:segment}/environments",
    summary="A prompt by environment",
    response_model=EnvironmentsAnswer,
)
async def prompt_environments(request: Request, stats: Stats, key: Key) -> Response:
    """How the prompt did in each environment, the most used first."""
    return await _by_value(request, stats, key, "environments")


@router.get("/prompts/{key:segment}/outfits", summary="A prompt by outfit", response_model=OutfitsAnswer)
async def prompt_outfits(request: Request, stats: Stats, key: Key) -> Response:
    """How the prompt did with each outfit, the most used first."""
    return await _by_value(request, stats, key, "outfits")


@router.get("/prompts/{key:segment}/errors", summary="A prompt's errors", response_model=ErrorsAnswer)
async def prompt_errors(request: Request, stats: Stats, key: Key, limit: Limit = 50) -> Response:
    """What went wrong, by kind, the most frequent first."""
    wanted = {"prompt_id": await stats.prompt_id(key), "limit": limit}
    found = await stats.read((PROMPT_ERRORS, wanted))
    return answer(request, found, {"errors": found[0]}, may_be_kept=True)


@router.get(
    "/prompts/{key:segment}/errors/{by}",
    summary="A prompt's errors by value",
    response_model=ValueErrorsAnswer,
)
async def prompt_value_errors(
    request: Request, stats: Stats, key: Key, by: By, limit: Limit = 50
) -> Response:
    """What went wrong in which scene, environment or outfit, by kind, the most frequent first.

    Counted once a day, as of `valueStatsAsOf`.
    """
    prompt_id = await stats.prompt_id(key)
    wanted = {"prompt_id": prompt_id, "dimension": by.removesuffix("s"), "limit": limit}
    found = await stats.read((PROMPT_VALUE_ERRORS, wanted))
    body = {"value_stats_as_of": found.freshness["value_stats_as_of"], "errors": found[0]}
    return answer(request, found, body, may_be_kept=True)


@router.get("/prompts/{key:segment}/times", summary="How long a prompt takes", response_model=TimesAnswer)
async def prompt_times(request: Request, stats: Stats, key: Key) -> Response:
    """How many of its events took how long: a histogram whose buckets end 4 % above where they begin.

    Of all days, and only buckets with use, the shortest first. Counted from the lake, so it may hold later
    events than `asOf` says. Percentiles are in `/prompts/{key}/stats`.
    """
    prompt_id = str(await stats.prompt_id(key))
    found = await stats.read()
    times = await run_in_threadpool(generation_times, request.app.state.settings.lake, prompt_id)
    return answer(request, found, {"times": times.to_dicts()})


async def prompt_named(request: Request, stats: Stats, name: str) -> Response:
    """The prompt whose slug is the name of a question about several.

    :raises Problem: 422, there is none, so the question was meant.
    """
    try:
        return await prompt(request, stats, name)
    except NotFoundError:
        raise Problem(422, "ids is missing: give ids or slugs, separated by commas") from None


# Last: /prompts/top/stats and its like are those of the prompt with the slug top.
@router.get("/prompts/top/{ranking}", summary="Rank prompts", response_model=RankingAnswer)
async def top(
    request: Request,
    stats: Stats,
    ranking: Ranking,
    category: Text = None,
    scene: Text = None,
    days: Annotated[int | None, Query(ge=1, le=366, description="Only the last days (UTC).")] = None,
    min_usage: Annotated[int, Query(alias="minUsage", ge=1, le=10**9, description="Leave out rarer.")] = 1,
    limit: Limit = 10,
) -> Response:
    """Active prompts by falling score; what has none (never timed, not rising) is left out.

    `best` and `failing` go by the lower end of the 95 % Wilson interval of the success or failure rate;
    `slowest` by the mean time; `rising` and `falling` by how far the last 7 days are from the 7 before, in
    standard deviations. A scene, or a number of days, narrows `usage`, `best` and `failing`; a scene
    `slowest` too.
    """
    if scene is not None and days is not None:
        raise Problem(422, "There are no stats by scene and day: give scene or days, not both")
    narrowable = {Ranking.USAGE, Ranking.BEST, Ranking.FAILING}
    if (scene is not None and ranking not in narrowable | {Ranking.SLOWEST}) or (
        days is not None and ranking not in narrowable
    ):
        raise Problem(422, f"The ranking {ranking} is of all events: leave scene and days out")
    to_day = dt.datetime.now(dt.UTC).date()
    values = {
        "ranking": ranking.value,
        "category": category,
        "by_scene": scene is not None,
        "scene": scene,
        "from_day": to_day - (days - 1) * ONE_DAY if days else None,
        "to_day": to_day,
        "min_usage": min_usage,
        "limit": limit,
    }
    found = await stats.read((RANKED_PROMPTS, values))
    return answer(request, found, {"prompts": found[0]}, may_be_kept=True)


async def _by_value(request: Request, stats: Stats, key: str, name: str) -> Response:
    found = await stats.read((BY_VALUE[name], {"prompt_id": await stats.prompt_id(key)}))
    for row in found[0]:
        del row["prompt_id"]
    body = {"value_stats_as_of": found.freshness["value_stats_as_of"], name: found[0]}
    return answer(request, found, body, may_be_kept=True)
