"""Answers about a period: each number is a recount of its events, and those of one screen agree."""

from __future__ import annotations

import datetime as dt
import random
import uuid
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import httpx
import hypothesis
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from pipeline import repair
from pipeline.answers import comparison, reading
from pipeline.database.connections import Database
from pipeline.days import timezones
from pipeline.errors import LakeError
from pipeline.installation import Installation
from pipeline.lake.usage_events import sync_days
from pipeline.limits import LAKE_MAX_DAYS, PARTIALS_MAX_DAYS
from pipeline.refresh import refresh
from tests.api import served
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase

NOW = dt.datetime.now(dt.UTC)
ONE_DAY = dt.timedelta(days=1)
EVENTS = 1_500
DAYS = 50
PROMPTS = {"one": "portrait", "two": "portrait", "three": None, "unused": "outdoor", "fallen": "outdoor"}
IDS = {slug: uuid.UUID(int=number) for number, slug in enumerate(PROMPTS, start=1)}
KINDS = {"timeout after 30 s": "timeout after <n> s", "timeout after 9 s": "timeout after <n> s", "no": "no"}
VALUES = ("scene", "environment", "outfit")
FELL = NOW.date() - 12 * ONE_DAY
"""Since when most uses of the prompt that fell fail."""


class Event(NamedTuple):
    """An event as the app has it."""

    prompt_id: uuid.UUID | None
    user_id: uuid.UUID | None
    scene: str | None
    environment: str | None
    outfit: str | None
    success: bool | None
    generation_time_ms: int | None
    error_message: str | None
    created_at: dt.datetime | None


COLUMNS = ", ".join(Event._fields)


def made_up(luck: random.Random) -> Iterator[Event]:
    """Events of the last days, some without a prompt, user, value, outcome, time or date."""
    for _ in range(EVENTS):
        success = luck.choice((True, True, False, None))
        yield Event(
            luck.choice([*[IDS["one"]] * 5, IDS["two"], IDS["three"], None]),
            luck.choice([None, *(uuid.UUID(int=number) for number in range(100, 120))]),
            luck.choice((None, "", "cafe", "cafe", "beach")),
            luck.choice((None, "indoor")),
            luck.choice((None, "casual", "formal")),
            success,
            luck.choice((None, 0, 1, round(luck.lognormvariate(8, 1)))),
            luck.choice([None, *KINDS]) if success is False else None,
            NOW - luck.random() * DAYS * ONE_DAY if luck.random() < 0.97 else None,
        )


def fallen(luck: random.Random) -> Iterator[Event]:
    """Ten events per day of one prompt, more of which fail since one day."""
    for days in range(30):
        day = NOW - days * ONE_DAY
        for hour in range(10):
            success = luck.random() < (0.4 if day.date() >= FELL else 0.95)
            at = day.replace(hour=hour)
            yield Event(IDS["fallen"], None, "cafe", None, None, success, None, None, at)


LUCK = random.Random(NOW.date().toordinal())  # noqa: S311  # a test's: the same events all day
EVERY = [*made_up(LUCK), *fallen(LUCK)]


class Asked(NamedTuple):
    """A period, and how it is asked for."""

    first: dt.date
    last: dt.date
    timezone: str

    @property
    def parameters(self) -> dict[str, str]:
        """As a request has them."""
        zone = {} if self.timezone == "UTC" else {"timezone": self.timezone}
        return {"from": str(self.first), "to": str(self.last), **zone}

    def events(self) -> list[Event]:
        """Those of its days, recounted one by one."""
        return [event for event in EVERY if (day := self.day_of(event)) and self.first <= day <= self.last]

    def day_of(self, event: Event) -> dt.date | None:
        """The local day; of undated events there is one in UTC only, the first that is counted."""
        if event.created_at is None:
            return FIRST_DAY if self.timezone == "UTC" else None
        return day_in(self.timezone, event.created_at)


@cache
def known_alike() -> list[str]:
    """The time zones whose rules Python and DuckDB have alike: their databases are of different versions."""
    days = [NOW + number * ONE_DAY for number in range(-500, 5)]
    names = sorted(timezones())
    local = duckdb.execute(
        "SELECT list_transform($days, lambda day: CAST(timezone(name, day) AS DATE))"
        " FROM unnest($names) AS t (name)",
        {"days": days, "names": names},
    )
    zones = zip(names, local.fetchall(), strict=True)
    return [name for name, (found,) in zones if found == [day_in(name, day) for day in days]]


def day_in(timezone: str, at: dt.datetime) -> dt.date:
    return at.astimezone(zoneinfo.ZoneInfo(timezone)).date()


@st.composite
def periods(draw: st.DrawFn, timezones: st.SearchStrategy[str]) -> Asked:
    """Days around those of the events, as many as may be asked for."""
    timezone = draw(st.one_of(st.just("UTC"), timezones))
    longest = PARTIALS_MAX_DAYS if timezone == "UTC" else LAKE_MAX_DAYS
    length = draw(st.one_of(st.integers(1, DAYS), st.just(longest)))
    last = NOW.date() - draw(st.integers(-2, DAYS + 5)) * ONE_DAY
    return Asked(last - (length - 1) * ONE_DAY, last, timezone)


HURRIED = hypothesis.settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])


def of_any_period(test: Callable[..., None]) -> Callable[..., None]:
    """Runs the test with periods made up, with one that has all dated events, and with the undated ones."""
    today = NOW.date()
    run = given(asked=periods(st.deferred(lambda: st.sampled_from(known_alike()))))(test)
    for asked in (Asked(today - 300 * ONE_DAY, today + ONE_DAY, "UTC"), Asked(FIRST_DAY, FIRST_DAY, "UTC")):
        run = hypothesis.example(asked=asked)(run)
    return HURRIED(run)


@pytest.fixture(scope="module")
def counted(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A database with stats, and its lake. Tests of this module only read it."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            # As an adopted table may have it.
            app.execute("ALTER TABLE prompt_usage ALTER prompt_id DROP NOT NULL")
            write(app, EVERY)
        refresh(at(database, lake))
        yield at(database, lake)


@pytest.fixture(scope="module")
def client(counted: Installation) -> Iterator[httpx.Client]:
    """The API on it."""
    with served(counted.database, PROMPT_STATS_LAKE_URI=counted.lake) as client:
        yield client


def write(app: psycopg.Connection[Any], events: Iterable[Event]) -> None:
    """The prompts that are missing, and events."""
    app.cursor().executemany(
        "INSERT INTO prompts (id, slug, name, category, template) VALUES (%s, %s, %s, %s, '')"
        " ON CONFLICT DO NOTHING",
        [(IDS[slug], slug, slug, kind) for slug, kind in PROMPTS.items()],
    )
    app.cursor().executemany(
        f"INSERT INTO prompt_usage ({COLUMNS}) VALUES ({', '.join(['%s'] * len(Event._fields))})", events
    )


def get(client: httpx.Client, path: str, asked: Asked, **more: Any) -> Any:
    """The answer, which says what it is of."""
    answer = client.get(path, params={**asked.parameters, **more})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["from"], found["to"]) == (str(asked.first), str(asked.last))
    assert found["timezone"] == asked.timezone
    return found


def counts(events: Iterable[Event]) -> dict[str, Any]:
    """What events add up to."""
    events = list(events)
    outcomes = Counter(event.success for event in events)
    return {
        "usageCount": len(events),
        "successCount": outcomes[True],
        "failureCount": outcomes[False],
        "successRate": pytest.approx(outcomes[True] / len(events) * 100) if events else None,
    }


def measures(events: Iterable[Event]) -> dict[str, Any]:
    """The same, and what stats have beside it."""
    events = list(events)
    times = [event.generation_time_ms for event in events if event.generation_time_ms is not None]
    dates = [event.created_at for event in events if event.created_at]
    return {
        **counts(events),
        "timedCount": len(times),
        "avgGenerationTimeMs": pytest.approx(sum(times) / len(times)) if times else None,
        "minGenerationTimeMs": min(times, default=None),
        "maxGenerationTimeMs": max(times, default=None),
        "firstUsedAt": min(dates, default=None),
        "lastUsedAt": max(dates, default=None),
    }


def held(row: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What a row of an answer has under the names of what is expected, its times as times."""
    return {
        name: dt.datetime.fromisoformat(row[name]) if name.endswith("At") and row[name] else row[name]
        for name in expected
    }


def grouped(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    groups = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


def of(slug: str, events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.prompt_id == IDS[slug]]


@of_any_period
def test_a_prompts_stats_are_a_recount_and_so_is_what_stands_beside_them(
    client: httpx.Client, asked: Asked
) -> None:
    for slug in ("one", "two"):
        events = of(slug, asked.events())
        stats = get(client, f"/prompts/{slug}/stats", asked)
        expected = measures(events)
        assert stats["totalUsage"] == expected.pop("usageCount")
        rate = expected.pop("successRate")
        assert stats["successRate"] == (0 if rate is None else rate)
        assert held(stats, expected) == expected
        assert stats["uniqueUsers"] == (
            len({event.user_id for event in events} - {None})
            if (asked.last - asked.first).days < 92
            else None
        )
        assert stats["usageCount7d"] is stats["favoriteCount"] is None

        times = get(client, f"/prompts/{slug}/times", asked)["times"]
        assert sum(each["usageCount"] for each in times) == stats["timedCount"]
        series = get(client, f"/prompts/{slug}/series", asked)["series"]
        assert sum(each["usageCount"] for each in series) == stats["totalUsage"]
        compared = get(client, "/prompts/compare", asked, ids=f"unused,{slug}")["prompts"]
        assert [each["totalUsage"] for each in compared] == [0, stats["totalUsage"]]
        assert compared[1].items() <= stats.items()


@of_any_period
def test_what_a_prompt_did_by_value_is_a_recount_that_adds_up(client: httpx.Client, asked: Asked) -> None:
    events = of("one", asked.events())
    for name in VALUES:
        found = get(client, f"/prompts/one/{name}s", asked)
        assert found["valueStatsAsOf"] == found["asOf"]
        groups = grouped(events, attrgetter(name))
        assert {row[name] for row in found[f"{name}s"]} == groups.keys()
        for row in found[f"{name}s"]:
            expected = measures(groups[row[name]])
            assert held(row, expected) == expected
            users = {event.user_id for event in groups[row[name]]} - {None}
            assert row["uniqueUsers"] in (len(users), None)
    over = get(client, "/prompts/one/scenes/series", asked)["series"]
    cells = grouped(events, lambda event: (event.scene, str(asked.day_of(event))))
    assert {(cell["scene"], cell["period"]): cell["usageCount"] for cell in over} == {
        cell: len(those) for cell, those in cells.items()
    }


@of_any_period
def test_errors_are_a_recount_by_kind_day_and_value(client: httpx.Client, asked: Asked) -> None:
    failed = [event for event in of("one", asked.events()) if event.error_message]
    expected = Counter(KINDS[event.error_message] for event in failed if event.error_message)
    found = get(client, "/prompts/one/errors", asked)["errors"]
    assert {row["errorKind"]: row["errorCount"] for row in found} == expected
    over = get(client, "/prompts/one/errors/series", asked, bucket="day")["series"]
    cells = Counter((KINDS[str(event.error_message)], str(asked.day_of(event))) for event in failed)
    assert {(cell["errorKind"], cell["period"]): cell["errorCount"] for cell in over} == cells
    if (asked.last - asked.first).days < 92:
        found = get(client, "/prompts/one/errors/scenes", asked)["errors"]
        assert {(row["value"], row["errorKind"]): row["errorCount"] for row in found} == Counter(
            (event.scene, KINDS[str(event.error_message)]) for event in failed
        )


@of_any_period
@pytest.mark.parametrize("narrowed", [{}, {"errorKind": "timeout after <n> s"}, {"scene": "cafe"}], ids=str)
def test_examples_of_failures_are_the_latest_of_those_that_are_counted(
    client: httpx.Client, asked: Asked, narrowed: dict[str, str]
) -> None:
    for slug in ("one", "two"):
        path = f"/prompts/{slug}/failures"
        if (asked.last - asked.first).days >= 92:
            assert client.get(path, params=asked.parameters).status_code == 422
            continue
        failed = [
            event
            for event in of(slug, asked.events())
            if event.success is False
            and narrowed.get("scene", event.scene) == event.scene
            and narrowed.get("errorKind") in (None, KINDS.get(event.error_message or ""))
        ]
        examples = get(client, path, asked, **narrowed)["failures"]
        assert len(examples) == min(20, len(failed))
        assert len({example["eventId"] for example in examples}) == len(examples)
        failed.sort(
            key=lambda event: event.created_at or dt.datetime.min.replace(tzinfo=dt.UTC), reverse=True
        )
        for example, event in zip(examples, failed, strict=False):
            if event.created_at is None:
                assert example["createdAt"] is None
                continue
            assert example | {"eventId": None} == {
                "eventId": None,
                "createdAt": event.created_at.isoformat().replace("+00:00", "Z"),
                **{name: getattr(event, name) for name in VALUES},
                "errorKind": KINDS.get(event.error_message or ""),
                "generationTimeMs": event.generation_time_ms,
            }
        if not narrowed and len(failed) <= 20:
            assert len(examples) == get(client, f"/prompts/{slug}/stats", asked)["failureCount"]
        assert get(client, path, asked, **narrowed, limit=1)["failures"] == examples[:1]


@of_any_period
def test_values_and_categories_over_all_prompts_are_a_recount(client: httpx.Client, asked: Asked) -> None:
    for name in VALUES:
        found = get(client, f"/{name}s", asked)[f"{name}s"]
        groups = grouped(asked.events(), attrgetter(name))
        assert len(found) == len(groups)
        for row in found:
            expected = measures(groups[row[name]])
            assert held(row, expected) == expected
    category: dict[uuid.UUID | None, str | None] = {IDS[slug]: kind for slug, kind in PROMPTS.items()}
    prompted = [event for event in asked.events() if event.prompt_id]
    groups = grouped(prompted, lambda event: category[event.prompt_id])
    found = get(client, "/categories", asked)["categories"]
    assert {row["category"] for row in found} == set(PROMPTS.values())
    for row in found:
        expected = {**counts(groups[row["category"]])}
        assert held(row, expected) == expected
    assert sum(row["usageCount"] for row in found) == get(client, "/overview", asked)["usageCount"]


@of_any_period
@pytest.mark.parametrize("narrowed", [{}, {"scene": "cafe"}], ids=str)
def test_rankings_are_of_the_period_and_the_scene(
    client: httpx.Client, asked: Asked, narrowed: dict[str, str]
) -> None:
    events = [event for event in asked.events() if event.scene == narrowed.get("scene", event.scene)]
    for ranking in ("usage", "best", "failures", "failing", "worse", "slowest"):
        found = get(client, f"/prompts/top/{ranking}", asked, **narrowed)["prompts"]
        scores = [row["score"] for row in found]
        assert scores == sorted(scores, reverse=True)
        for row in found:
            expected = measures(of(row["slug"], events))
            assert held(row, {name: expected[name] for name in counts([])}) == {
                name: expected[name] for name in counts([])
            }
            assert row["avgGenerationTimeMs"] == expected["avgGenerationTimeMs"]
    bad = get(client, "/prompts/top/failures", asked, **narrowed)
    counted = {slug: measures(of(slug, events)) for slug in PROMPTS if of(slug, events)}
    failures = {slug: each["failureCount"] for slug, each in counted.items()}
    uses = sum(each["usageCount"] for each in counted.values())
    average = sum(failures.values()) / uses if uses else 0
    worse = {
        slug
        for slug, each in counted.items()
        if failures[slug] and failures[slug] >= average * each["usageCount"]
    }
    assert {row["slug"] for row in bad["prompts"]} == worse
    assert bad["averageFailureRate"] == (pytest.approx(average * 100) if worse else None)
    used = get(client, "/prompts/top/usage", asked, **narrowed)["prompts"]
    assert {row["slug"] for row in used} == {slug for slug in PROMPTS if of(slug, events)}


@of_any_period
def test_sparklines_are_a_recount_by_day(client: httpx.Client, asked: Asked) -> None:
    found = get(client, "/prompts/sparklines", asked, ids="two,one")["prompts"]
    days = [asked.first + number * ONE_DAY for number in range((asked.last - asked.first).days + 1)]
    for slug, row in zip(("two", "one"), found, strict=True):
        used = Counter(map(asked.day_of, of(slug, asked.events())))
        assert row["usageCounts"] == [used[day] for day in days]


@of_any_period
@pytest.mark.parametrize("slug", ["one", "fallen", "unused"])
def test_the_rates_on_both_sides_of_a_change_are_a_recount(
    client: httpx.Client, asked: Asked, slug: str
) -> None:
    found, *others = (
        get(client, f"/prompts/{slug}/series", asked, bucket=bucket)["changePoint"]
        for bucket in ("day", "week", "month")
    )
    assert others == [found, found]
    sides = grouped(
        of(slug, asked.events()), lambda event: str(asked.day_of(event)) >= found["day"] if found else None
    )
    if found:
        assert slug == "fallen"
        assert abs(dt.date.fromisoformat(found["day"]) - FELL) <= 2 * ONE_DAY
        for name, is_since in (("before", False), ("since", True)):
            expected = counts(sides[is_since])
            assert found[f"{name}UsageCount"] == expected["usageCount"]
            rate = found[f"{name}SuccessRate"]
            assert rate == expected["successRate"]
            assert found[f"{name}SuccessRateLower"] < rate < found[f"{name}SuccessRateUpper"]
    # With a week on each side it is.
    if slug == "fallen" and asked.first <= FELL - 7 * ONE_DAY and asked.last >= FELL + 7 * ONE_DAY:
        assert found


@HURRIED
@given(asked=periods(st.sampled_from(sorted(timezones()))))
def test_numbers_of_one_screen_agree_in_every_time_zone(client: httpx.Client, asked: Asked) -> None:
    """Whatever rules a time zone has: Python's may be older than those that events are counted by."""
    uses = get(client, "/prompts/one/stats", asked)["totalUsage"]
    series = get(client, "/prompts/one/series", asked)["series"]
    scenes = get(client, "/prompts/one/scenes", asked)["scenes"]
    over = get(client, "/prompts/one/scenes/series", asked)["series"]
    times = get(client, "/prompts/one/times", asked)["times"]
    assert [sum(row["usageCount"] for row in rows) for rows in (series, scenes, over)] == [uses] * 3
    assert sum(row["usageCount"] for row in times) == sum(row["timedCount"] for row in scenes)


def test_days_end_with_the_day_of_the_publish(client: httpx.Client) -> None:
    found = client.get("/prompts/one/stats", params={"days": 7}).json()
    today = dt.datetime.fromisoformat(found["asOf"]).date()
    assert (found["from"], found["to"]) == (str(today - 6 * ONE_DAY), str(today))
    assert found["totalUsage"] == len(of("one", Asked(today - 6 * ONE_DAY, today, "UTC").events()))
    # As many as from and to may have.
    long = client.get("/overview", params={"days": 1_000}).json()
    assert (long["from"], long["to"]) == (str(today - 999 * ONE_DAY), str(today))


@pytest.mark.parametrize("path", ["/prompts/one/stats", "/scenes", "/categories", "/prompts/top/usage"])
def test_a_time_zone_asks_for_a_period_even_if_it_is_the_usual_one(client: httpx.Client, path: str) -> None:
    of_days, of_zone = (
        client.get(path, params=asked).json() for asked in ({"days": 30}, {"timezone": "UTC"})
    )
    assert of_zone["from"] is not None
    assert {**of_zone, "lagSeconds": None} == {**of_days, "lagSeconds": None}


PATHS = (
    *(f"/prompts/one/{name}" for name in ("stats", "scenes", "environments", "outfits", "errors", "times")),
    "/prompts/one/failures",
    *(f"/prompts/one/{name}" for name in ("errors/scenes", "errors/series", "scenes/series")),
    *(
        "/prompts/compare?ids=one",
        "/prompts/difference?ids=one,two",
        "/scenes",
        "/environments",
        "/outfits",
        "/categories",
        "/prompts/top/usage",
    ),
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"from": "2026-01-02", "to": "2026-01-01"}, "2026-01-01: they are not between 1 and"),
        ({"from": "2020-01-01", "to": "2026-01-01"}, "days"),
        ({"from": "2026-01-01", "to": "2026-05-01", "timezone": "Asia/Tokyo"}, "1 and 92 days"),
        ({"days": 7, "from": "2026-01-01"}, "days and from are both given"),
        ({"days": 7, "timezone": "Berlin"}, "Europe/Berlin"),
        ({"days": 2_000}, "days"),
        ({"from": "yesterday"}, "give a day as YYYY-MM-DD"),
        ({"from": "1767225600"}, "give a day as YYYY-MM-DD"),
        ({"to": "2026-01-01T00:00:00+02:00"}, "give a day as YYYY-MM-DD"),
        ({"days": 2**64}, "days are none"),
        ({"days": [7, 8]}, "days: it is given 2 times"),
        ({"timezone": ["UTC", "Asia/Tokyo"]}, "timezone: it is given 2 times"),
        *(
            ({"from": edge, "to": edge, "timezone": timezone}, "the calendar has no day beside them")
            for edge in ("0001-01-01", "9999-12-31")
            for timezone in ("UTC", "Asia/Tokyo")
        ),
        ({"to": "0001-01-03", "days": 4}, "4 days are none"),
    ],
    ids=str,
)
def test_a_bad_range_is_said(client: httpx.Client, path: str, parameters: dict[str, Any], named: str) -> None:
    answer = client.get(path, params={**httpx.URL(path).params, **parameters})
    assert answer.status_code == 422
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo"])
def test_what_the_lake_has_and_nobody_published_is_in_no_answer(
    new_database: NewDatabase, migrated_template: str, tmp_path: Path, timezone: str
) -> None:
    lake = str(tmp_path / "lake")
    today = NOW.date()
    paths = ("/prompts/one/stats", "/prompts/one/series", "/scenes", "/prompts/one/failures")
    first, second = (
        [event for event in EVERY if event.created_at and event.created_at.date() == today - days * ONE_DAY]
        for days in (2, 3)
    )

    def answers(client: httpx.Client) -> list[Any]:
        found = [client.get(path, params={"days": 9, "timezone": timezone}).json() for path in paths]
        return [{**each, "lagSeconds": None} for each in found]

    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute("ALTER TABLE prompt_usage ALTER prompt_id DROP NOT NULL")
            write(app, first)
        refresh(at(database, lake))
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            before = answers(client)
            with psycopg.connect(database.conninfo) as app:
                write(app, second)
            written(database, lake)
            assert answers(client) == before
            refresh(at(database, lake))
            now = answers(client)
            assert now[0]["totalUsage"] == len(of("one", [*first, *second])) > before[0]["totalUsage"]
            assert sum(each["usageCount"] for each in now[1]["series"]) == now[0]["totalUsage"]
            assert now[3]["failures"] != before[3]["failures"]


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo"])
def test_a_lake_without_what_was_published_is_refused(
    client: httpx.Client, counted: Installation, tmp_path: Path, timezone: str
) -> None:
    elsewhere = str(tmp_path / "a wrong address")
    asked = {"days": "9", "timezone": timezone}
    paths = ("/prompts/one/stats", "/prompts/one/scenes", "/scenes", "/categories", "/prompts/top/usage")
    with served(counted.database, PROMPT_STATS_LAKE_URI=elsewhere) as other:
        for path in paths:
            assert client.get(path, params=asked).status_code == 200
            assert other.get(path, params=asked).status_code == 503
        assert client.get("/prompts/one/times").json()["times"]
        assert other.get("/prompts/one/times").status_code == 503
    with pytest.raises(LakeError, match="days that are published"):
        reading.prompt(at(counted.database, elsewhere), "one", comparison.Asked(days=9, timezone=timezone))


def written(database: Database, lake: str) -> None:
    """A refresh that comes to the lake, and not to the publish."""
    days = [NOW.date() - number * ONE_DAY for number in range(10)]
    sync_days(at(database, lake), days)
    assert repair.roll_up(at(database, lake), days).rows
