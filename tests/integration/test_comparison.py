"""Prompts beside each other, and one before and after a date: over HTTP and by command, against a recount."""

from __future__ import annotations

import datetime as dt
import io
import uuid
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import polars as pl
import psycopg
import pytest

from pipeline.answers import reading
from pipeline.answers.comparison import Asked
from pipeline.answers.export import PROMPT_NAME, Format
from pipeline.answers.export import TABLES as EXPORTED
from pipeline.answers.period_export import TABLES, opened_export, period_export
from pipeline.database.connections import Database
from pipeline.errors import InputError
from pipeline.installation import Installation
from pipeline.refresh import refresh
from tests.api import served
from tests.app import at
from tests.command import answer, prompt_stats
from tests.conftest import NewDatabase

NOW = dt.datetime.now(dt.UTC)
TODAY = NOW.date()
ONE_DAY = dt.timedelta(days=1)
CHANGED = TODAY - 10 * ONE_DAY
KIRITIMATI = "Pacific/Kiritimati"
PROMPTS = {name: uuid.UUID(int=number) for number, name in enumerate(("better", "worse", "unused"), start=1)}


class Event(NamedTuple):
    """An event as the app has it."""

    prompt: str
    success: bool
    created_at: dt.datetime


def events() -> Iterator[Event]:
    """40 days, an hour of each; one prompt always does well, the other one since it was changed."""
    for days in range(40):
        at = NOW - days * ONE_DAY
        for number in range(40):
            yield Event("better", number % 20 != 0, at - dt.timedelta(minutes=number))
            share = 10 if at.date() >= CHANGED else 3
            yield Event("worse", number % share != 0, at - dt.timedelta(minutes=number))


EVENTS = list(events())


class App(NamedTuple):
    """A refreshed database without slugs, its lake, and the API on it."""

    database: Database
    lake: str
    client: httpx.Client

    @property
    def installation(self) -> Installation:
        """What the steps work on."""
        return at(self.database, self.lake)


@pytest.fixture(scope="module")
def app(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as writer:
            writer.cursor().executemany(
                "INSERT INTO prompts (id, name, template) VALUES (%s, %s, '')",
                [(prompt_id, name) for name, prompt_id in PROMPTS.items()],
            )
            with writer.cursor().copy(
                "COPY prompt_usage (prompt_id, success, error_message, created_at) FROM STDIN"
            ) as copy:
                for event in EVENTS:
                    message = None if event.success else "out of memory"
                    copy.write_row((PROMPTS[event.prompt], event.success, message, event.created_at))
        refresh(at(database, lake))
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            yield App(database, lake, client)


def recount(prompt: str, first: dt.date, last: dt.date, timezone: str = "UTC") -> tuple[int, int]:
    zone = zoneinfo.ZoneInfo(timezone)
    found = [
        event
        for event in EVENTS
        if event.prompt == prompt and first <= event.created_at.astimezone(zone).date() <= last
    ]
    return len(found), sum(event.success for event in found)


@pytest.mark.parametrize("timezone", ["UTC", KIRITIMATI])
def test_prompts_are_compared_over_the_days_asked_for(app: App, timezone: str) -> None:
    first, last = TODAY - 30 * ONE_DAY, TODAY - 12 * ONE_DAY
    given = {"ids": "worse,better", "from": str(first), "to": str(last), "timezone": timezone}
    over_http = app.client.get("/prompts/difference", params=given).json()
    found = reading.compare(app.installation, ["worse", "better"], Asked(first, last, None, timezone))
    for each, of_http in zip(found["prompts"], over_http["prompts"], strict=True):
        counts = recount(each["label"], first, last, timezone)
        assert (each["usage_count"], each["success_count"]) == counts
        assert (of_http["usageCount"], of_http["successCount"]) == counts
        assert (of_http["from"], of_http["to"]) == (str(first), str(last))
    [difference], [of_http] = found["differences"], over_http["differences"]
    assert difference["verdict"].startswith("better is better than worse by ")
    assert of_http["verdict"] == difference["verdict"]
    assert of_http["pointsLower"] == pytest.approx(difference["points_lower"])


def test_a_prompt_is_compared_with_itself_before_a_date(app: App) -> None:
    found = reading.compare(app.installation, ["worse"], Asked(before=CHANGED))
    before, since = found["prompts"]
    assert [before["from"], before["to"]] == [CHANGED - 10 * ONE_DAY, CHANGED - ONE_DAY]
    # Today is not over.
    assert [since["from"], since["to"]] == [CHANGED, TODAY - ONE_DAY]
    assert (before["usage_count"], before["success_count"]) == recount("worse", before["from"], before["to"])
    assert (since["usage_count"], since["success_count"]) == recount("worse", since["from"], since["to"])
    verdict = found["differences"][0]["verdict"]
    assert verdict.startswith(f"worse since {CHANGED} is better than before by ")
    given = {"ids": "worse", "before": str(CHANGED)}
    assert app.client.get("/prompts/difference", params=given).json()["differences"][0]["verdict"] == verdict
    same = reading.compare(app.installation, ["better"], Asked(before=CHANGED, days=5))
    assert same["differences"][0]["verdict"].startswith("no difference between ")
    assert same["prompts"][0]["from"] == CHANGED - 5 * ONE_DAY


@pytest.mark.parametrize("timezone", ["UTC", KIRITIMATI])
def test_a_period_of_one_prompt_is_compared_with_the_one_before(app: App, timezone: str) -> None:
    found = reading.compare(app.installation, ["worse"], Asked(days=10, timezone=timezone))
    before, since = found["prompts"]
    today = NOW.astimezone(zoneinfo.ZoneInfo(timezone)).date()
    # Today is not over, and the first of the days before is compared with the first of these.
    assert [since["from"], since["to"]] == [today - 9 * ONE_DAY, today - ONE_DAY]
    assert [before["from"], before["to"]] == [today - 19 * ONE_DAY, today - 11 * ONE_DAY]
    for side in found["prompts"]:
        expected = recount("worse", side["from"], side["to"], timezone)
        assert (side["usage_count"], side["success_count"]) == expected
    given: dict[str, Any] = {"ids": "worse", "days": 10, "timezone": timezone}
    over_http = app.client.get("/prompts/difference", params=given).json()
    assert over_http["differences"][0]["verdict"] == found["differences"][0]["verdict"]
    assert found["differences"][0]["verdict"].startswith(
        f"worse from {since['from']} to {since['to']} is better"
    )
    [closed] = {
        each["from"]
        for each in reading.compare(
            app.installation, ["worse"], Asked(TODAY - 9 * ONE_DAY, TODAY - 3 * ONE_DAY, None, timezone)
        )["prompts"][:1]
    }
    assert closed == TODAY - 16 * ONE_DAY


def test_of_several_each_is_compared_with_the_first(app: App) -> None:
    found = reading.compare(app.installation, ["better", "worse", "unused"], Asked(days=7))
    assert [each["confidence"] for each in found["differences"]] == [97.5, 97.5]
    assert found["differences"][1]["verdict"] == "unused was not used: there is nothing to compare"
    assert found["differences"][1]["points"] is None


@pytest.mark.parametrize("kind", Format)
def test_a_table_of_some_days_is_a_file(app: App, kind: Format) -> None:
    first, last = TODAY - 20 * ONE_DAY, TODAY - 9 * ONE_DAY
    asked = Asked(first, last, None, KIRITIMATI)
    found = period_export(app.installation, "prompt_stats", kind, asked)
    content = io.BytesIO(b"".join(chunk.content for chunk in found.chunks))
    read: Any = {Format.CSV: pl.read_csv, Format.JSON: pl.read_json, Format.PARQUET: pl.read_parquet}[kind]
    rows = read(content).to_dicts()
    assert found.row_count == len(rows) == 2
    for row in rows:
        assert PROMPTS[row["prompt_name"]] == uuid.UUID(row["prompt_id"])
        assert (row["usage_count"], row["success_count"]) == recount(
            row["prompt_name"], first, last, KIRITIMATI
        )


@pytest.mark.parametrize("timezone", ["UTC", KIRITIMATI])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_some_days_is_a_recount_over_http_and_by_command(
    app: App, table: str, timezone: str
) -> None:
    first, last = TODAY - 20 * ONE_DAY, TODAY - 9 * ONE_DAY
    days = {"from": str(first), "to": str(last), "timezone": timezone}
    answered = app.client.get(f"/export/{table}", params=days)
    assert answered.status_code == 200, answered.text
    rows = pl.read_csv(io.StringIO(answered.text), try_parse_dates=True).to_dicts()
    for prompt in ("better", "worse"):
        of_prompt = [row for row in rows if row.get(PROMPT_NAME) == prompt]
        uses, successes = recount(prompt, first, last, timezone)
        if table == "prompt_error_stats":
            [row] = of_prompt
            assert (row["error_kind"], row["error_count"]) == ("out of memory", uses - successes)
        elif table.startswith("prompt_"):
            assert sum(row["usage_count"] for row in of_prompt) == uses
            assert sum(row["success_count"] for row in of_prompt) == successes
        if table == "prompt_daily_stats":
            for row in of_prompt:
                assert (row["usage_count"], row["success_count"]) == recount(
                    prompt, row["day"], row["day"], timezone
                )
    if not table.startswith("prompt_"):
        whole = [recount(prompt, first, last, timezone) for prompt in ("better", "worse")]
        assert [row["usage_count"] for row in rows] == [sum(uses for uses, _ in whole)]
    columns = [*rows[0]]
    assert rows == sorted(rows, key=lambda row: [str(row[name]) for name in columns[:2]])
    with opened_export(app.installation, table, Format.CSV, Asked(first, last, None, timezone)) as found:
        assert b"".join(chunk.content for chunk in found.chunks) == answered.content


def test_what_can_t_be_exported_of_some_days_is_said(app: App, tmp_path: Path) -> None:
    others = {*EXPORTED} - {*TABLES}
    assert "user_prompt_stats" in others
    for table in others:
        refused = app.client.get(f"/export/{table}", params={"days": 7})
        assert refused.status_code == 422
        assert all(each in refused.json()["detail"] for each in TABLES)
    given = {"DATABASE_URL": app.database.conninfo, "PROMPT_STATS_LAKE_URI": app.lake}
    done = prompt_stats(tmp_path, "export", "user_prompt_stats", "--days", "7", **given)
    assert done.returncode == 1
    assert "prompt_daily_stats" in done.stderr
    for wrong in (f"days=7&from={TODAY}", "from=1900-01-01", "timezone=Mars/Base"):
        assert app.client.get(f"/export/prompt_stats?{wrong}").status_code == 422


@pytest.mark.parametrize(
    ("keys", "asked", "why"),
    [
        (["better"], Asked(days=1), "that day is not over"),
        (["better", "better"], Asked(), "one of them twice"),
        (["better", "worse"], Asked(before=CHANGED), "for one prompt"),
        (["better"], Asked(before=TODAY), "no day since then is over yet"),
        (["better"], Asked(before=dt.date.min), "no days are before it"),
        (["better"], Asked(before=dt.date.min + 3 * ONE_DAY), "no days are before it"),
        (["better", "worse"], Asked(dt.date.max, dt.date.max, None, KIRITIMATI), "no day beside them"),
        (["better", "worse"], Asked(dt.date.min, dt.date.min), "no day beside them"),
        (["better"], Asked(before=CHANGED, days=11), "10 days since then are over"),
        (["better", "worse"], Asked(TODAY, TODAY - ONE_DAY), "not between 1 and"),
        (["better", "worse"], Asked(days=93, timezone=KIRITIMATI), "not between 1 and 92 days"),
        (["better", "worse"], Asked(days=10**9), "days are none"),
        (["better", "worse"], Asked(timezone="Mars/Base"), "no name of the IANA database"),
        (["better", "worse"], Asked(TODAY, days=3), "both given"),
    ],
)
def test_what_can_t_be_compared_is_said(app: App, keys: list[str], asked: Asked, why: str) -> None:
    with pytest.raises(InputError, match=why):
        reading.compare(app.installation, keys, asked)
    given = {"from": asked.first, "to": asked.last, "days": asked.days, "before": asked.before}
    parameters = {name: str(value) for name, value in given.items() if value is not None}
    parameters |= {"ids": ",".join(keys), "timezone": asked.timezone}
    refused = app.client.get("/prompts/difference", params=parameters)
    assert refused.status_code == 422
    assert why in refused.json()["detail"]


def test_the_command_says_it_in_words(app: App, tmp_path: Path) -> None:
    given: dict[str, str] = {"DATABASE_URL": app.database.conninfo, "PROMPT_STATS_LAKE_URI": app.lake}
    done = prompt_stats(tmp_path, "compare", "worse", "better", "--days", "7", **given, COLUMNS="60")
    assert done.returncode == 0, done.stderr
    assert "better is better than worse by" in done.stdout or "no difference" in done.stdout
    found: Any = answer(tmp_path, "compare", "worse", "--before", str(CHANGED), **given)
    assert [each["label"] for each in found["prompts"]] == ["before", f"worse since {CHANGED}"]


@pytest.mark.parametrize("timezone", ["UTC", KIRITIMATI])
def test_top_and_show_answer_of_some_days(app: App, tmp_path: Path, timezone: str) -> None:
    first, last = TODAY - 20 * ONE_DAY, TODAY - 9 * ONE_DAY
    asked = Asked(first, last, None, timezone)
    days = {"from": first, "to": last, "timezone": timezone}
    top = reading.top_prompts(app.installation, 10, asked)
    assert {name: top[name] for name in days} == days
    counts = {each["name"]: (each["usage_count"], each["success_count"]) for each in top["prompts"]}
    assert counts == {name: recount(name, first, last, timezone) for name in ("better", "worse")}
    shown = reading.prompt(app.installation, "worse", asked)
    assert {name: shown[name] for name in days} == days
    assert (shown["usage_count"], shown["success_count"]) == counts["worse"]
    assert [day["day"] for day in shown["days"]] == [first + number * ONE_DAY for number in range(12)]
    for day in shown["days"]:
        assert (day["usage_count"], day["success_count"]) == recount(
            "worse", day["day"], day["day"], timezone
        )
    assert [scene["usage_count"] for scene in shown["scenes"]] == [counts["worse"][0]]
    unused = reading.prompt(app.installation, "unused", asked)
    assert (unused["usage_count"], unused["success_rate"], unused["scenes"]) == (0, None, [])
    given = {"DATABASE_URL": app.database.conninfo, "PROMPT_STATS_LAKE_URI": app.lake}
    options = ("--from", str(first), "--to", str(last), "--timezone", timezone)
    said = f", {first} to {last}, days of {timezone}"
    for command in (["top"], ["show", "worse"]):
        done = prompt_stats(tmp_path, *command, *options, **given)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    exported = prompt_stats(tmp_path, "export", "prompt_stats", *options, **given)
    assert f",{counts['worse'][0]}," in exported.stdout
    assert answer(tmp_path, "top", *options, **given)["prompts"][0]["usage_count"] == counts["better"][0]


def test_a_command_with_a_time_zone_is_of_a_period_even_if_it_is_the_usual_one(
    app: App, tmp_path: Path
) -> None:
    given = {"DATABASE_URL": app.database.conninfo, "PROMPT_STATS_LAKE_URI": app.lake}
    assert answer(tmp_path, "top", "--timezone", "UTC", **given)["from"] == str(TODAY - 29 * ONE_DAY)
