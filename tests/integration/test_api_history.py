"""What a dashboard asks: usage over time, categories, times, scenes; each answer against a naive recount."""

from __future__ import annotations

import datetime as dt
import random
import uuid
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.lake.partials import USAGE
from pipeline.lake.periods import State
from pipeline.refresh import refresh
from pipeline.stats.comparison import Z_95, Sample, difference, wilson
from tests.api import served
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase

NOW = dt.datetime.now(dt.UTC)
ONE_DAY = dt.timedelta(days=1)
EVENTS = 2_000
DAYS = 75
"""More than two months: some are merged in the lake, some are not."""

PROMPTS = {
    "often": "portrait",
    "seldom": "portrait",
    "plain": None,
    "unused": "outdoor",
    "deleted": "outdoor",
}
IDS = {slug: uuid.UUID(int=number) for number, slug in enumerate(PROMPTS, start=1)}
SCENES = (None, "", "cafe", "beach", "studio"), (4, 1, 8, 2, 1)
"""And how often each is used."""
ZONES = ("Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")


class Event(NamedTuple):
    """An event as the app has it."""

    prompt_id: uuid.UUID | None
    scene: str | None
    success: bool | None
    generation_time_ms: int | None
    created_at: dt.datetime | None

    @property
    def day(self) -> dt.date:
        """The day in UTC that it is counted on."""
        return self.created_at.date() if self.created_at else FIRST_DAY


def made_up() -> Iterator[Event]:
    """Events of the last days, some without a prompt, scene, outcome, time or date; some with odd times."""
    luck = random.Random(7)  # noqa: S311  # a test's
    prompts = [IDS["often"]] * 6 + [IDS["seldom"], IDS["plain"], IDS["deleted"], None]
    for _ in range(EVENTS):
        time = round(luck.lognormvariate(8, 1))
        yield Event(
            luck.choice(prompts),
            luck.choices(*SCENES)[0],
            luck.choice((True, True, False, None)),
            luck.choice((time, time, time, None, 0, 1, 2, -5)),
            NOW - luck.random() * DAYS * ONE_DAY if luck.random() < 0.98 else None,
        )


EVERY = list(made_up())
PROMPTED = [event for event in EVERY if event.prompt_id]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The root of the module's lake."""
    return str(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def client(new_database: NewDatabase, migrated_template: str, lake: str) -> Iterator[httpx.Client]:
    """The API on a database with stats; tests of this module only read."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            # As an adopted table may have it.
            app.execute("ALTER TABLE prompt_usage ALTER prompt_id DROP NOT NULL")
            app.cursor().executemany(
                "INSERT INTO prompts (id, slug, name, category, deleted_at, template)"
                " VALUES (%s, %s, '', %s, %s, '')",
                [
                    (IDS[slug], slug, kind, NOW if slug == "deleted" else None)
                    for slug, kind in PROMPTS.items()
                ],
            )
            app.cursor().executemany(
                "INSERT INTO prompt_usage (prompt_id, scene, success, generation_time_ms, created_at)"
                " VALUES (%s, %s, %s, %s, %s)",
                EVERY,
            )
        refresh(at(database, lake))
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            yield client


@pytest.fixture(scope="module")
def as_of(client: httpx.Client) -> dt.datetime:
    """When the stats were made, with which series end."""
    return dt.datetime.fromisoformat(client.get("/categories").json()["asOf"])


@pytest.fixture(scope="module")
def today(as_of: dt.datetime) -> dt.date:
    """The last day of UTC that series have."""
    return as_of.date()


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    """The answer to a request that has to succeed, and says as of when it is."""
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert dt.datetime.fromisoformat(found.pop("asOf")) > NOW
    assert found.pop("lagSeconds") > 0
    return found


def of(slug: str) -> list[Event]:
    return [event for event in EVERY if event.prompt_id == IDS[slug]]


def counts(events: Iterable[Event]) -> dict[str, Any]:
    """What each group of events has."""
    outcomes = Counter(event.success for event in events)
    usage = outcomes.total()
    return {
        "usageCount": usage,
        "successCount": outcomes[True],
        "failureCount": outcomes[False],
        "successRate": pytest.approx(outcomes[True] / usage * 100, rel=1e-12) if usage else None,
    }


def days_of(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + number * ONE_DAY for number in range((last - first).days + 1)]


def start_of(day: dt.date, bucket: str) -> dt.date:
    """The first day of the period that a day is in."""
    return {"day": day, "week": day - day.weekday() * ONE_DAY, "month": day.replace(day=1)}[bucket]


def expected_series(
    events: Iterable[Event], days: list[dt.date], bucket: str, day_of: Callable[[Event], dt.date | None]
) -> list[dict[str, Any]]:
    """Every period of the days, those without events too."""
    periods: dict[dt.date, list[Event]] = {start_of(day, bucket): [] for day in days}
    for event in events:
        day = day_of(event)
        if day in days and day:
            periods[start_of(day, bucket)].append(event)
    return [{"period": str(start), **counts(within)} for start, within in periods.items()]


def expected_overview(
    days: list[dt.date],
    bucket: str,
    timezone: str,
    day_of: Callable[[Event], dt.date | None],
    today: dt.date,
) -> dict[str, Any]:
    compared = [day for day in days if day < today]
    previous = [day - len(days) * ONE_DAY for day in compared]
    within = [event for event in PROMPTED if day_of(event) in days]
    return {
        "bucket": bucket,
        "timezone": timezone,
        "from": str(days[0]),
        "to": str(days[-1]),
        **counts(within),
        **expected_comparison(compared, previous, day_of),
        "promptCount": len({event.prompt_id for event in within}),
        "series": expected_series(PROMPTED, days, bucket, day_of),
    }


def expected_comparison(
    compared: list[dt.date], previous: list[dt.date], day_of: Callable[[Event], dt.date | None]
) -> dict[str, Any]:
    if not compared:
        return dict.fromkeys(("compared", "previous", "difference"))
    sides = {}
    for name, days in (("compared", compared), ("previous", previous)):
        found = counts([event for event in PROMPTED if day_of(event) in days])
        uses = found["usageCount"]
        interval = wilson(found["successCount"], uses, Z_95) if uses else None
        ends = [end * 100 for end in interval] if interval else [None, None]
        sides[name] = {"from": str(days[0]), "to": str(days[-1]), **found}
        sides[name] |= {"successRateLower": ends[0], "successRateUpper": ends[1]}
    whole = Sample(f"from {compared[0]} to {compared[-1]}", *_counted(sides["compared"]))
    differs = difference(whole, Sample("before", *_counted(sides["previous"])))
    said = {
        "label": whole.name,
        "baseline": "before",
        "points": differs.points,
        "pointsLower": differs.lower,
        "pointsUpper": differs.upper,
        "confidence": 95.0,
        "verdict": differs.verdict,
    }
    return {**sides, "difference": said}


def _counted(side: dict[str, Any]) -> tuple[int, int]:
    return side["usageCount"], side["successCount"]


def day_in_utc(event: Event) -> dt.date:
    return event.day


@pytest.mark.parametrize("bucket", ["day", "week", "month"])
@pytest.mark.parametrize("length", [1, 17, 60])
def test_the_overview_is_a_recount_of_the_events_with_a_prompt(
    client: httpx.Client, today: dt.date, bucket: str, length: int
) -> None:
    last = today - 3 * ONE_DAY
    days = days_of(last - (length - 1) * ONE_DAY, last)
    found = get(client, "/overview", **{"from": days[0], "to": days[-1], "bucket": bucket})
    assert found == expected_overview(days, bucket, "UTC", day_in_utc, today)
    assert found["usageCount"] > 0 < found["previous"]["usageCount"]


def test_the_overview_is_by_default_of_the_last_thirty_days(client: httpx.Client, today: dt.date) -> None:
    days = days_of(today - 29 * ONE_DAY, today)
    assert get(client, "/overview") == expected_overview(days, "day", "UTC", day_in_utc, today)


def test_undated_events_are_in_the_overview_of_the_first_day(client: httpx.Client) -> None:
    found = get(client, "/overview", **{"from": FIRST_DAY, "to": FIRST_DAY})
    undated = [event for event in PROMPTED if not event.created_at]
    assert found["usageCount"] == len(undated) > 0


@pytest.mark.parametrize("timezone", ZONES)
@pytest.mark.parametrize("bucket", ["day", "week", "month"])
def test_the_overview_of_elsewhere_is_a_recount_in_its_days(
    client: httpx.Client, as_of: dt.datetime, timezone: str, bucket: str
) -> None:
    zone = zoneinfo.ZoneInfo(timezone)

    def day_of(event: Event) -> dt.date | None:
        return event.created_at.astimezone(zone).date() if event.created_at else None

    today = as_of.astimezone(zone).date()
    for days in (days_of(today - 29 * ONE_DAY, today), days_of(today - 50 * ONE_DAY, today - 20 * ONE_DAY)):
        asked = {"from": days[0], "to": days[-1]} if days[-1] != today else {}
        found = get(client, "/overview", timezone=timezone, bucket=bucket, **asked)
        assert found == expected_overview(days, bucket, timezone, day_of, today)


def test_the_overview_by_hour_is_a_recount_of_a_week(client: httpx.Client, today: dt.date) -> None:
    found = get(client, "/overview", bucket="hour")
    days = days_of(today - 6 * ONE_DAY, today)
    hours: dict[str, list[Event]] = {f"{day}T{hour:02}:00:00": [] for day in days for hour in range(24)}
    for event in PROMPTED:
        if event.created_at and event.day in days:
            hours[f"{event.created_at:%Y-%m-%dT%H}:00:00"].append(event)
    assert found["series"] == [{"period": hour, **counts(events)} for hour, events in hours.items()]
    assert found["usageCount"] == sum(map(len, hours.values()))


@pytest.mark.parametrize("days", [2, 30, 90])
def test_sparklines_are_a_recount_by_day_in_the_order_asked_for(
    client: httpx.Client, today: dt.date, days: int
) -> None:
    asked = ["seldom", "unused", str(IDS["often"]), "seldom"]
    found = get(client, "/prompts/sparklines", ids=", ".join(asked), days=days)
    calendar = days_of(today - (days - 1) * ONE_DAY, today)
    assert (found["from"], found["to"]) == (str(calendar[0]), str(calendar[-1]))
    expected = []
    for slug in ("seldom", "unused", "often", "seldom"):
        used = Counter(event.day for event in of(slug))
        expected.append({"promptId": str(IDS[slug]), "usageCounts": [used[day] for day in calendar]})
    assert found["prompts"] == expected


def test_categories_are_a_recount_of_their_prompts_events(client: httpx.Client) -> None:
    slugs: defaultdict[str | None, list[str]] = defaultdict(list)
    for slug, category in PROMPTS.items():
        slugs[category].append(slug)
    expected = []
    for category, within in slugs.items():
        events = [event for slug in within for event in of(slug)]
        times = [event.generation_time_ms for event in events if event.generation_time_ms is not None]
        expected.append(
            {
                "category": category,
                "promptCount": len(within),
                **counts(events),
                "avgGenerationTimeMs": sum(times) / len(times) if times else None,
                "timedCount": len(times),
            }
        )
    found = get(client, "/categories")["categories"]
    intervals = [(each.pop("successRateLower"), each.pop("successRateUpper")) for each in found]
    assert found == sorted(expected, key=lambda each: -each["usageCount"])
    # One that is deleted was used all the same: categories add up to the uses of all prompts.
    assert sum(each["usageCount"] for each in found) == len(PROMPTED)
    for each, (lower, upper) in zip(found, intervals, strict=True):
        assert lower < each["successRate"] < upper if each["usageCount"] else lower is upper is None


@pytest.mark.parametrize("slug", ["often", "seldom", "unused"])
def test_times_are_a_histogram_of_all_days(client: httpx.Client, lake: str, slug: str) -> None:
    assert State(lake, USAGE).whole, "they are to be merged from longer periods too"
    times = [event.generation_time_ms for event in of(slug) if event.generation_time_ms is not None]
    found = get(client, f"/prompts/{slug}/times")["times"]
    assert sum(each["usageCount"] for each in found) == len(times)
    for each in found:
        is_lowest = each["fromMs"] == 0
        within = [
            time for time in times if (time < 1 if is_lowest else each["fromMs"] < time <= each["toMs"])
        ]
        assert each["usageCount"] == len(within) > 0
        assert is_lowest or each["toMs"] / each["fromMs"] == pytest.approx(1.02 / 0.98)
    ends = [end for each in found for end in (each["fromMs"], each["toMs"])]
    assert ends == sorted(ends)


@pytest.mark.parametrize("bucket", ["day", "week", "month"])
def test_scenes_over_time_are_a_recount_where_there_was_use(
    client: httpx.Client, today: dt.date, bucket: str
) -> None:
    last = today
    for first in (last - 29 * ONE_DAY, last - 70 * ONE_DAY):
        days = days_of(first, last)
        asked = {} if len(days) == 30 else {"from": first, "to": last}
        found = get(client, "/prompts/often/scenes/series", bucket=bucket, **asked)
        groups: defaultdict[tuple[dt.date, str | None], list[Event]] = defaultdict(list)
        for event in of("often"):
            if event.day in days:
                groups[start_of(event.day, bucket), event.scene].append(event)
        expected = [
            {"scene": scene, "period": str(period), **counts(events)}
            for (period, scene), events in sorted(
                groups.items(),
                key=lambda group: (group[0][0], -len(group[1]), group[0][1] is not None, group[0][1] or ""),
            )
        ]
        said = {"from": str(first), "to": str(last), "timezone": "UTC"}
        assert found == {"bucket": bucket, **said, "series": expected}


def test_of_many_scenes_the_most_used_are_shown(client: httpx.Client, today: dt.date) -> None:
    days = days_of(today - 29 * ONE_DAY, today)
    used = Counter(event.scene for event in of("often") if event.day in days)
    found = get(client, "/prompts/often/scenes/series", limit=2)["series"]
    assert {each["scene"] for each in found} == {scene for scene, _ in used.most_common(2)}
    assert sum(each["usageCount"] for each in found) == sum(count for _, count in used.most_common(2))


def test_a_prompt_without_use_has_neither_times_nor_scenes(client: httpx.Client) -> None:
    assert get(client, "/prompts/unused/times") == {"times": []}
    assert get(client, "/prompts/unused/scenes/series")["series"] == []


def test_before_the_first_refresh_there_is_nothing(database: Database, lake: str) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.execute("INSERT INTO prompts (slug, name, category, template) VALUES ('new', '', 'odd', '')")
    with served(database, PROMPT_STATS_LAKE_URI=lake + "-empty") as client:
        for timezone in ("UTC", "Europe/Berlin"):
            found = client.get("/overview", params={"timezone": timezone}).json()
            assert (found["asOf"], found["usageCount"], found["successRate"]) == (None, 0, None)
            assert (found["previous"]["usageCount"], found["promptCount"], len(found["series"])) == (0, 0, 30)
        [sparkline] = client.get("/prompts/sparklines", params={"ids": "new"}).json()["prompts"]
        assert sparkline["usageCounts"] == [0] * 30
        [category] = client.get("/categories").json()["categories"]
        assert (category["category"], category["promptCount"], category["usageCount"]) == ("odd", 1, 0)
        assert client.get("/prompts/new/times").json()["times"] == []
        assert client.get("/prompts/new/scenes/series").json()["series"] == []


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/prompts/nobodys/times", 404, "nobodys"),
        ("/prompts/nobodys/scenes/series", 404, "nobodys"),
        ("/prompts/sparklines?ids=often,nobodys", 404, "nobodys"),
        ("/prompts/sparklines?ids=often,%00", 404, "GET /prompts"),
        ("/prompts/sparklines", 422, "ids"),
        ("/prompts/sparklines?ids=,", 422, "1 to 100"),
        ("/prompts/sparklines?ids=" + "often," * 101, 422, "1 to 100"),
        ("/prompts/sparklines?ids=often&days=0", 422, "days"),
        ("/prompts/sparklines?ids=often&days=367", 422, "days"),
        ("/prompts/sparklines?ids=often&days=7&from=2026-01-01", 422, "days and from are both given"),
        ("/overview?from=2026-01-02&to=2026-01-01", 422, "1 and 1830 days"),
        ("/overview?from=1900-01-01", 422, "1 and 1830 days"),
        ("/overview?from=0001-01-01&to=0001-01-02", 422, "no day beside them"),
        ("/overview?timezone=Berlin", 422, "Europe/Berlin"),
        ("/overview?timezone=localtime", 422, "Europe/Berlin"),
        ("/overview?timezone=Berlin&from=2026-01-01&to=2026-01-02", 422, "Europe/Berlin"),
        ("/overview?timezone=Europe/Berlin&from=2025-01-01", 422, "1 and 92 days"),
        ("/overview?timezone=Europe/Berlin&bucket=hour", 422, "leave timezone out"),
        ("/overview?bucket=hour&from=2025-01-01", 422, "1 and 7 days"),
        ("/overview?bucket=year", 422, "bucket"),
        ("/overview?scene=cafe", 422, "there are: bucket, days, from, timezone, to"),
        ("/prompts/often/series?timezone=Berlin&from=2026-01-01&to=2026-01-02", 422, "Europe/Berlin"),
        ("/prompts/often/scenes/series?bucket=hour", 422, "'day', 'week' or 'month'"),
        ("/prompts/often/scenes/series?from=2024-01-01&to=2025-01-01", 422, "1 and 366 days"),
        ("/prompts/often/scenes/series?timezone=Berlin", 422, "Europe/Berlin"),
        ("/prompts/often/errors/series?bucket=hour", 422, "'day', 'week' or 'month'"),
        ("/prompts/often/scenes/series?limit=0", 422, "limit"),
        ("/categories?limit=0", 422, "limit"),
    ],
)
def test_what_can_not_be_answered_is_said(client: httpx.Client, path: str, status: int, named: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/overview?from=0001-01-02&to=0001-01-03",
        "/overview?from=9999-12-01&to=9999-12-30",
        "/overview?from=0001-01-02&to=0001-01-03&timezone=Asia/Tokyo",
        "/overview?from=9999-12-01&to=9999-12-30&timezone=Asia/Tokyo",
        "/prompts/often/scenes/series?from=0001-01-02&to=0001-01-03",
    ],
)
def test_days_far_away_are_empty(client: httpx.Client, path: str) -> None:
    found = client.get(path).json()
    assert sum(period["usageCount"] for period in found["series"]) == 0


PATHS = [
    "/overview",
    "/overview?timezone=Europe/Berlin",
    "/prompts/sparklines?ids=often",
    "/categories",
    "/prompts/often/times",
    "/prompts/often/scenes/series",
]


@pytest.mark.parametrize("path", PATHS)
def test_an_unchanged_answer_is_not_sent_again(client: httpx.Client, path: str) -> None:
    tag = client.get(path).headers["etag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_only_a_token_that_may_read_reads(database: Database) -> None:
    with served(database, PROMPT_STATS_API_TOKEN="read:reader,write:writer") as client:  # noqa: S106  # a test's
        for path in PATHS:
            assert client.get(path, headers={"Authorization": "Bearer writer"}).status_code == 403
        assert client.get("/categories", headers={"Authorization": "Bearer reader"}).status_code == 200
