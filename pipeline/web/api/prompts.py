"""Prompts: their stats, rankings, times and errors."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from pipeline.answers.comparison import with_standings
from pipeline.database import tables
from pipeline.database.queries import query
from pipeline.errors import NotFoundError
from pipeline.lake.period_stats import PeriodStats, generation_times
from pipeline.limits import LAKE_MAX_DAYS
from pipeline.stats import frames
from pipeline.web.api.addresses import STORABLE, Key, Keys, asked_keys
from pipeline.web.api.answers import STANDING, Answer, StatsAnswer, model_of
from pipeline.web.api.periods import (
    PUBLISHED_DAYS,
    Asked,
    AskedPeriod,
    PeriodAnswer,
    as_measured,
    count_period,
    period_fields,
    period_of,
)
from pipeline.web.api.problems import Problem
from pipeline.web.api.reader import Id, Rows, Stats, answer, only

PROMPT = query("web/prompt")
PROMPT_STATS = query("web/prompt_stats")
MOST_USED_PROMPTS = query("web/most_used_prompts")
RANKED_PROMPTS = query("web/ranked_prompts")
LISTED_PROMPTS = query("web/listed_prompts")
PROMPT_ERRORS = query("web/prompt_errors")
PROMPT_VALUE_ERRORS = query("web/prompt_value_errors")
BY_VALUE = {
    "scenes": query("web/prompt_scenes"),
    "environments": query("web/prompt_environments"),
    "outfits": query("web/prompt_outfits"),
}

COMPARED_MAX = 20
COUNTS = ("success_count", "failure_count", "timed_count")
MEASURED = ("usage_count", "success_count", "failure_count", "avg_generation_time_ms", "last_used_at")
"""What a ranking needs to know of a prompt."""

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
    FAILURES = "failures"
    FAILING = "failing"
    WORSE = "worse"
    SLOWEST = "slowest"
    RISING = "rising"
    FALLING = "falling"


OF_ALL_EVENTS = (Ranking.FAVORED, Ranking.RISING, Ranking.FALLING)


Prompt = model_of("Prompt", tables.prompts)
ListedPrompt = model_of(
    "ListedPrompt", tables.prompts, is_favorite=(bool, "Whether it is a favourite of the user asked for.")
)
PromptError = model_of("PromptError", tables.prompt_error_stats, without=("prompt_id",))
PromptValueError = model_of(
    "PromptValueError", tables.prompt_value_error_stats, without=("prompt_id", "dimension")
)
NOT_OF_A_PERIOD = "Of a period: null."
COUNTED_OF_A_PERIOD = f"Of a period: counted of it, null beyond {LAKE_MAX_DAYS} days."
WINDOWS = tuple(frames.windows())
"""Columns that end with the day of the refresh, whatever period is asked for."""

OF_A_PERIOD = {
    column.name: NOT_OF_A_PERIOD if column.name in WINDOWS else COUNTED_OF_A_PERIOD
    for column in tables.prompt_value_stats.c
}
COUNTED_DAILY = {"standing": STANDING} | {
    column.name: (
        column.type.python_type | None,
        f"{column.comment} As of valueStatsAsOf; null before that. {OF_A_PERIOD[column.name]}",
    )
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
    unique_users=(int | None, f"Distinct users. {COUNTED_OF_A_PERIOD}"),
    **{
        name: (int | None, f"{tables.prompt_stats.c[name].comment} {NOT_OF_A_PERIOD}")
        for name in (*WINDOWS, "favorite_count")
    },
)


class PromptStats(PeriodAnswer, _stats):  # type: ignore[misc,valid-type]  # made from the table
    """The stats of one prompt."""


class PromptAnswer(StatsAnswer):
    """A prompt as the app has it, with its counters."""

    prompt: Prompt  # type: ignore[valid-type]


class PromptsAnswer(StatsAnswer):
    """Prompts, and how many there are in all."""

    total_count: int
    prompts: list[ListedPrompt]  # type: ignore[valid-type]


class ByValueAnswer(PeriodAnswer):
    """Percentiles, users and periods by value are counted once a day: as of ``valueStatsAsOf``."""

    value_stats_as_of: dt.datetime | None = Field(description="Of a period: asOf, since all is counted then.")


class ScenesAnswer(ByValueAnswer):
    """Stats by scene; ``scene`` null is that of events without one."""

    scenes: list[SceneStats]  # type: ignore[valid-type]


class EnvironmentsAnswer(ByValueAnswer):
    """Stats by environment; null is that of events without one."""

    environments: list[EnvironmentStats]  # type: ignore[valid-type]


class OutfitsAnswer(ByValueAnswer):
    """Stats by outfit; null is that of events without one."""

    outfits: list[OutfitStats]  # type: ignore[valid-type]


class ErrorsAnswer(PeriodAnswer):
    """Errors by kind: messages with numbers, ids and addresses folded."""

    errors: list[PromptError]  # type: ignore[valid-type]


class ValueErrorsAnswer(ByValueAnswer):
    """Errors by kind and by scene, environment or outfit; null is that of events without one."""

    errors: list[PromptValueError]  # type: ignore[valid-type]


class CompareAnswer(PeriodAnswer):
    """Stats of several prompts, in the order asked for."""

    prompts: list[_stats]  # type: ignore[valid-type]


class RankedPrompt(Answer):
    """A prompt of a ranking."""

    prompt_id: Id
    slug: str | None
    name: str
    category: str | None
    score: float = Field(
        description="What it is ranked by: events (usage, failures), users (favored), percent (best,"
        " failing), percentage points (worse), milliseconds (slowest), standard deviations (rising, falling)."
    )
    usage_count: int
    success_count: int
    failure_count: int
    success_rate: float | None
    avg_generation_time_ms: float | None
    last_used_at: dt.datetime | None
    favorite_count: int = Field(description="Users who have it as a favourite now, whatever the period.")
    usage_count_7d: int = Field(
        description="Events of the 7 whole days (UTC) before that of asOf, whatever the period."
    )
    usage_count_previous_7d: int = Field(description="Events of the 7 days before those.")


class RankingAnswer(PeriodAnswer):
    """Prompts by falling score."""

    average_failure_rate: float | None = Field(
        description="Percent: of all active prompts together, of period and scene; null if none is ranked."
    )
    prompts: list[RankedPrompt]


class TimeBucket(Answer):
    """A bucket of the histogram of generation times."""

    from_ms: float = Field(description="Milliseconds: its times are longer.", examples=[1001.2])
    to_ms: float = Field(description="Milliseconds: none is longer.", examples=[1042.1])
    usage_count: int = Field(description="Events that took so long.", examples=[17])


class TimesAnswer(PeriodAnswer):
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
    search: Annotated[
        Text, Query(description="Part of the name, slug, id, tags, description or template.")
    ] = None,
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
async def compare(request: Request, stats: Stats, asked: AskedPeriod, ids: Keys = None) -> Response:
    """The stats of several prompts, 20 at most, beside each other.

    Without `ids`: the prompt with the slug `compare`, as `GET /prompts/{key}` has it.
    """
    if ids is None:
        return await prompt_named(request, stats, "compare")
    prompt_ids = await stats.prompt_ids(asked_keys(ids, COMPARED_MAX))
    if not asked.is_given:
        found = await stats.read(*((PROMPT_STATS, {"prompt_id": prompt_id}) for prompt_id in prompt_ids))
        rows = [row for rows in found.results for row in rows]
        return answer(request, found, {"prompts": rows}, may_be_kept=True)
    period = await period_of(stats, asked)

    def count(each: PeriodStats) -> Rows:
        return [_stats_of(each, str(prompt_id)) for prompt_id in prompt_ids]

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    return answer(request, found, {**period_fields(period), "prompts": rows}, may_be_kept=may_be_kept)


@router.get("/prompts/{key:segment}", summary="One prompt", response_model=PromptAnswer)
async def prompt(request: Request, stats: Stats, key: Key) -> Response:
    """The prompt as the app has it, with its counters."""
    found = await stats.read((PROMPT, {"prompt_id": await stats.prompt_id(key)}))
    return answer(request, found, {"prompt": only(found[0], key)}, may_be_kept=True)


@router.get("/prompts/{key:segment}/stats", summary="The stats of a prompt", response_model=PromptStats)
async def prompt_stats(request: Request, stats: Stats, key: Key, asked: AskedPeriod) -> Response:
    """Counts, success rate with its interval, times, users, and how use has changed.

    Of all time, or of a period; then the windows of 1, 7 and 30 days and the favourites are null.
    """
    prompt_id = await stats.prompt_id(key)
    if not asked.is_given:
        found = await stats.read((PROMPT_STATS, {"prompt_id": prompt_id}))
        return answer(request, found, only(found[0], key), may_be_kept=True)
    period = await period_of(stats, asked)
    found, row, may_be_kept = await count_period(
        request, stats, period, lambda each: _stats_of(each, str(prompt_id))
    )
    return answer(request, found, {**period_fields(period), **row}, may_be_kept=may_be_kept)


@router.get("/prompts/{key:segment}/scenes", summary="A prompt by scene", response_model=ScenesAnswer)
async def prompt_scenes(request: Request, stats: Stats, key: Key, asked: AskedPeriod) -> Response:
    """How the prompt did in each scene, the most used first."""
    return await _by_value(request, stats, key, "scenes", asked)


@router.get(
    "/prompts/{key:segment}/environments",
    summary="A prompt by environment",
    response_model=EnvironmentsAnswer,
)
async def prompt_environments(request: Request, stats: Stats, key: Key, asked: AskedPeriod) -> Response:
    """How the prompt did in each environment, the most used first."""
    return await _by_value(request, stats, key, "environments", asked)


@router.get("/prompts/{key:segment}/outfits", summary="A prompt by outfit", response_model=OutfitsAnswer)
async def prompt_outfits(request: Request, stats: Stats, key: Key, asked: AskedPeriod) -> Response:
    """How the prompt did with each outfit, the most used first."""
    return await _by_value(request, stats, key, "outfits", asked)


@router.get("/prompts/{key:segment}/errors", summary="A prompt's errors", response_model=ErrorsAnswer)
async def prompt_errors(
    request: Request, stats: Stats, key: Key, asked: AskedPeriod, limit: Limit = 50
) -> Response:
    """What went wrong, by kind, the most frequent first. Over time: `/prompts/{key}/errors/series`."""
    prompt_id = await stats.prompt_id(key)
    if not asked.is_given:
        found = await stats.read((PROMPT_ERRORS, {"prompt_id": prompt_id, "limit": limit}))
        return answer(request, found, {"errors": found[0]}, may_be_kept=True)
    period = await period_of(stats, asked)

    def count(each: PeriodStats) -> Rows:
        return each.errors(str(prompt_id)).drop("prompt_id").head(limit).to_dicts()

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    return answer(request, found, {**period_fields(period), "errors": rows}, may_be_kept=may_be_kept)


@router.get(
    "/prompts/{key:segment}/errors/{by}",
    summary="A prompt's errors by value",
    response_model=ValueErrorsAnswer,
)
async def prompt_value_errors(
    request: Request, stats: Stats, key: Key, by: By, asked: AskedPeriod, limit: Limit = 50
) -> Response:
    """What went wrong in which scene, environment or outfit, by kind, the most frequent first.

    Counted daily, as of `valueStatsAsOf`; for a period, which may be a quarter at most, counted when you ask.
    """
    prompt_id = await stats.prompt_id(key)
    dimension = by.removesuffix("s")
    if not asked.is_given:
        wanted = {"prompt_id": prompt_id, "dimension": dimension, "limit": limit}
        found = await stats.read((PROMPT_VALUE_ERRORS, wanted))
        body = {"value_stats_as_of": found.freshness["value_stats_as_of"], "errors": found[0]}
        return answer(request, found, body, may_be_kept=True)
    period = await period_of(stats, asked, longest=LAKE_MAX_DAYS)

    def count(each: PeriodStats) -> Rows:
        return each.value_errors(str(prompt_id), dimension).head(limit).to_dicts()

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    body = {**period_fields(period), "value_stats_as_of": found.freshness["as_of"], "errors": rows}
    return answer(request, found, body, may_be_kept=may_be_kept)


@router.get("/prompts/{key:segment}/times", summary="How long a prompt takes", response_model=TimesAnswer)
async def prompt_times(request: Request, stats: Stats, key: Key, asked: AskedPeriod) -> Response:
    """How many of its events took how long: a histogram whose buckets end 4 % above where they begin.

    Only buckets with use, the shortest first. Without a period of all days, counted from the lake as it is,
    so it may hold later events than `asOf` says. Percentiles are in `/prompts/{key}/stats`.
    """
    prompt_id = str(await stats.prompt_id(key))
    if not asked.is_given:
        found = await stats.read((PUBLISHED_DAYS, {"from_day": dt.date.min, "to_day": dt.date.max}))
        days = [row["day"] for row in found[0]]
        times = await run_in_threadpool(generation_times, request.app.state.settings.lake, prompt_id, days)
        return answer(request, found, {"times": times.to_dicts()})
    period = await period_of(stats, asked)
    found, times, may_be_kept = await count_period(request, stats, period, lambda each: each.times(prompt_id))
    return answer(
        request, found, {**period_fields(period), "times": times.to_dicts()}, may_be_kept=may_be_kept
    )


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
    asked: AskedPeriod,
    category: Text = None,
    scene: Text = None,
    min_usage: Annotated[int, Query(alias="minUsage", ge=1, le=10**9, description="Leave out rarer.")] = 1,
    limit: Limit = 10,
) -> Response:
    """Active prompts by falling score; what has none (never timed, not rising) is left out.

    `best` and `failing` go by the lower end of the 95 % Wilson interval of the success or failure rate;
    `failures` by their number; `worse` by how far the lower end of the failure rate is above
    `averageFailureRate`. These three leave out prompts that fail less often than the average. `slowest` goes
    by the mean time; `rising` and `falling` by how far the last 7 whole days are from the 7 before, in
    standard deviations. A scene, a period or both narrow all but favourites, rise and fall.
    """
    if (scene is not None or asked.is_given) and ranking in OF_ALL_EVENTS:
        raise Problem(422, f"The ranking {ranking} is of all events: leave scene and the period out")
    values = {
        "ranking": ranking.value,
        "category": category,
        "by_scene": scene is not None,
        "scene": scene,
        "measured": None,
        "min_usage": min_usage,
        "limit": limit,
    }
    if not asked.is_given:
        found = await stats.read((RANKED_PROMPTS, values))
        return answer(request, found, _ranked(found[0]), may_be_kept=True)
    period = await period_of(stats, asked)

    def count(each: PeriodStats) -> str:
        rows = each.usage() if scene is None else each.scene(scene)
        return as_measured(rows.select("prompt_id", *MEASURED))

    found, measured, may_be_kept = await count_period(request, stats, period, count)
    ranked = await stats.read((RANKED_PROMPTS, {**values, "measured": measured}))
    return answer(request, found, {**period_fields(period), **_ranked(ranked[0])}, may_be_kept=may_be_kept)


def _ranked(rows: Rows) -> dict[str, object]:
    """The rows, and what is the same in each of them."""
    average = [row.pop("average_failure_rate") for row in rows]
    return {"average_failure_rate": average[0] if average else None, "prompts": rows}


def _stats_of(stats: PeriodStats, prompt_id: str) -> dict[str, Any]:
    """What ``sql/web/prompt_stats.sql`` has of a prompt, of a period."""
    rows = stats.prompts(prompt_id)
    row = rows.row(0, named=True) if rows.height else dict.fromkeys(rows.columns)
    counts = {name: row.pop(name) or 0 for name in ("usage_count", *COUNTS)}
    return {
        **row,
        "prompt_id": prompt_id,
        "total_usage": counts.pop("usage_count"),
        **counts,
        "success_rate": row["success_rate"] or 0.0,
        "unique_users": stats.unique_users(prompt_id),
        **dict.fromkeys((*WINDOWS, "favorite_count")),
    }


async def _by_value(request: Request, stats: Stats, key: str, name: str, asked: Asked) -> Response:
    prompt_id = await stats.prompt_id(key)
    if not asked.is_given:
        found = await stats.read((BY_VALUE[name], {"prompt_id": prompt_id}))
        for row in found[0]:
            del row["prompt_id"]
        rows = with_standings(found[0])
        body = {"value_stats_as_of": found.freshness["value_stats_as_of"], name: rows}
        return answer(request, found, body, may_be_kept=True)
    period = await period_of(stats, asked)

    def count(each: PeriodStats) -> Rows:
        rows = each.values(str(prompt_id), name.removesuffix("s")).drop("prompt_id").to_dicts()
        return [{**row, **dict.fromkeys(WINDOWS)} for row in with_standings(rows)]

    found, rows, may_be_kept = await count_period(request, stats, period, count)
    body = {**period_fields(period), "value_stats_as_of": found.freshness["as_of"], name: rows}
    return answer(request, found, body, may_be_kept=may_be_kept)
