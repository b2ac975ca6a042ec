"""The dashboard in a browser: it shows what the API answers, to everybody, and asks nobody else."""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import httpx
import psycopg
import pytest
from playwright.sync_api import BrowserContext, expect

from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.orchestration.reporting import REPORT_JOB
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from pipeline.stats.comparison import Z_95, wilson
from pipeline.web.dashboard.report import Report, write_report
from tests.api import served
from tests.app import at
from tests.browser import Tab, chromium, opened, windowed
from tests.command import REPOSITORY

NOW = dt.datetime.now(dt.UTC)
HOSTILE = "<img src=x onerror=alert(1)>"
PORTRAIT, STREET, UNUSED, EVIL = (uuid.UUID(int=number) for number in range(1, 5))
PROMPTS = [
    (PORTRAIT, "portrait", "Portrait", "people"),
    (STREET, "street", "Street", "outdoor"),
    (UNUSED, "unused", "Unused", "outdoor"),
    (EVIL, None, HOSTILE, HOSTILE),
]
INSERT_PROMPT = (
    "INSERT INTO prompts (id, slug, name, category, template, description)"
    " VALUES (%s, %s, %s, %s, '</script>' , 'Quite good')"
)
INSERT_EVENT = (
    "INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, error_message,"
    " created_at) VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, %s)"
)
INSERT_ALERT = (
    "INSERT INTO stats_alerts (rule, scope, prompt_id, state, severity, window_hours, recent_count,"
    " recent_value, past_count, past_value, as_of, evaluated_at, raised_at, recovered_at) VALUES"
    " ('success_rate', 'prompt', %s, %s, 'ALERT', 1, 40, 50, 900, 90, now(), now(), now(), %s)"
)
INSERT_MARKER = "INSERT INTO prompt_marker (prompt_id, day, note) VALUES (%s, %s, %s)"
INSERT_EVALUATION = (
    "INSERT INTO stats_alert_evaluation (evaluated_at, as_of, tested_count, raised_count)"
    " VALUES (now(), now(), 3, 1)"
)
FALLEN_DAYS = 10
MARKERS = [
    (PORTRAIT, NOW.date() - dt.timedelta(days=days), note)
    for days, note in ((FALLEN_DAYS, HOSTILE), (FALLEN_DAYS - 1, "Steps put back"), (60, "Long ago"))
]
USER = uuid.UUID(int=77)
VIEWS = (
    "#/",
    "#/prompts",
    "#/prompts/portrait",
    "#/prompts/unused",
    "#/prompts/nobodys",
    "#/compare?ids=portrait,street",
    "#/compare?ids=portrait",
    f"#/users/{USER}",
)
WIDTHS = (360, 768, 1280)


def events() -> Iterator[tuple[Any, ...]]:
    """Portrait: 40 days of growing use, best without a scene, worst at the beach, more failures in the last
    ten days; street: a few a week ago; the evil one: once.
    """
    for days in range(40):
        for number in range(80 - days):
            scene = (None, "cafe", HOSTILE, "beach")[number % 4]
            often = 9 if days >= FALLEN_DAYS else 3
            failed = (number % often == 0 and scene is not None) or number % 8 == 3
            message = f"out of memory: {number} MiB" if failed else None
            at = NOW - dt.timedelta(days=days, minutes=number)
            yield PORTRAIT, scene, not failed, 900 + 37 * number, message, at
    for number in range(12):
        yield STREET, "cafe", number < 11, 9000, None, NOW - dt.timedelta(days=8)
    yield EVIL, HOSTILE, None, None, HOSTILE, NOW


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home and a lake of their own."""
    return Settings.model_validate({"PROMPT_STATS_HOME": tmp_path_factory.mktemp("home")})


@pytest.fixture(scope="module")
def filled(new_database: Any, migrated_template: str, settings: Settings) -> Iterator[Database]:
    """A database with stats; tests only read."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(INSERT_PROMPT, PROMPTS)
            app.cursor().executemany(INSERT_EVENT, list(events()))
            app.execute("UPDATE prompt_usage SET user_id = %s WHERE prompt_id = %s", (USER, STREET))
            app.execute("INSERT INTO prompt_favorites (user_id, prompt_id) VALUES (%s, %s)", (USER, UNUSED))
            app.cursor().executemany(INSERT_MARKER, MARKERS)
            app.execute("UPDATE prompts SET tags = '[\"night\"]' WHERE id = %s", (STREET,))
        refresh(at(database, settings.lake), values=True)
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(INSERT_ALERT, [(EVIL, "ALERT", None), (PORTRAIT, "OK", NOW)])
            app.execute(INSERT_EVALUATION)
        yield database


@pytest.fixture(scope="module")
def api(filled: Database, settings: Settings) -> Iterator[httpx.Client]:
    """The API, which serves the dashboard."""
    with served(filled, PROMPT_STATS_HOME=settings.home) as client:
        yield client


@pytest.fixture(scope="module")
def report(filled: Database, settings: Settings) -> Report:
    """The dashboard as a file."""
    # In a thread: the browser's has an event loop already.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(write_report, settings, filled).result()


@pytest.fixture(scope="module")
def window(api: httpx.Client) -> Iterator[BrowserContext]:
    """One for all tests."""
    with chromium() as browser, windowed(browser, page_of(api)) as window:
        yield window


@pytest.fixture
def tab(window: BrowserContext, api: httpx.Client) -> Iterator[Tab]:
    """A tab in which nothing may go wrong, and which may ask this server alone."""
    with opened(window) as tab:
        yield tab
        assert tab.complaints == []
        assert {
            httpx.URL(request).copy_with(path="/", query=None, fragment=None) for request in tab.requests
        } == {api.base_url.copy_with(path="/")}


def get(api: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = api.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def page_of(api: httpx.Client, hash_: str = "#/") -> str:
    return f"{api.base_url}/{hash_}"


def percent(value: float) -> str:
    return f"{value:.1f} %"


def last_days(days: int) -> dict[str, str]:
    """The parameters of a period that ends today."""
    today = dt.datetime.now(dt.UTC).date()
    return {"from": str(today - dt.timedelta(days=days - 1)), "to": str(today)}


def test_the_overview_shows_what_the_api_answers(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    found = get(api, "/overview", **last_days(30))
    assert tab.heading() == "Overview"
    assert tab.figure("Uses") == f"{found['usageCount']:,}"
    assert tab.figure("Success rate") == percent(found["successRate"])
    assert tab.figure("Failed") == f"{found['failureCount']:,}"
    assert tab.figure("Prompts used") == str(found["promptCount"])
    for kind in ("scene", "environment", "outfit"):
        rows = [(row[0], row[1]) for row in tab.rows(f"By {kind}")]
        assert rows == [
            (each[kind] if each[kind] is not None else "none given", f"{each['usageCount']:,}")
            for each in get(api, f"/{kind}s", **last_days(30))[f"{kind}s"]
        ]
    tab.page.get_by_text("Data as a table").click()
    days = tab.rows("All prompts by day")
    assert [row[1] for row in days] == [f"{day['usageCount']:,}" for day in found["series"]]
    expect(tab.page.locator("#freshness")).to_have_text(re.compile(r"^As of .* UTC, \d+ s ago$"))


def test_the_overview_shows_what_is_raised_and_what_was(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    found = get(api, "/alerts")["alerts"]
    assert [alert["promptName"] for alert in found] == [HOSTILE, "Portrait"]
    rows = tab.rows("Alerts")
    assert [row[:2] for row in rows] == [["alert", found[0]["text"]], ["recovered", found[1]["text"]]]
    expect(tab.page.get_by_text("1 alert raised. Looked at ")).to_be_visible()
    tab.page.get_by_role("link", name=found[1]["text"]).click()
    expect(tab.page.locator("h1")).to_have_text("Portrait")


def test_the_ranking_is_the_apis_and_leads_to_prompts_and_back(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts"))
    ranked = get(api, "/prompts/top/usage", **last_days(30))["prompts"]
    rows = tab.rows("Most used prompts")
    assert [row[1] for row in rows] == [f"{each['name']} {each['category']}" for each in ranked]
    stats = get(api, f"/prompts/{PORTRAIT}/stats", **last_days(30))
    interval = f"{stats['successRateLower']:.1f}\N{EN DASH}{stats['successRateUpper']:.1f} %"
    assert rows[0][4] == f"{percent(stats['successRate'])} {interval}"
    assert rows[2][4].endswith(", few uses")
    lines = get(api, "/prompts/sparklines", ids=str(PORTRAIT), **last_days(30))["prompts"]
    counts = lines[0]["usageCounts"][:-1]
    line = tab.page.locator(".sparkline").first
    assert line.get_attribute("aria-label").startswith(f"{sum(counts):,} in 29 days")  # type: ignore[union-attr]  # it has one

    tab.page.get_by_role("link", name="Portrait").click()
    expect(tab.page.locator("h1")).to_have_text("Portrait")
    tab.settle()
    tab.page.get_by_role("link", name="people").click()
    expect(tab.picker("Category")).to_have_value("people")
    assert [row[1] for row in tab.rows("Most used prompts")] == ["Portrait people"]
    tab.page.go_back()
    expect(tab.page.locator("h1")).to_have_text("Portrait")
    tab.page.go_back()
    expect(tab.page.locator("h1")).to_have_text("Most used prompts")


def test_each_ranking_can_be_picked(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts?scene=cafe&days=7"))
    for ranking in ("favored", "best", "failures", "failing", "worse", "slowest", "rising", "falling"):
        tab.picker("Ranking").select_option(ranking)
        tab.arrive(f"ranking={ranking}")
        has_period = ranking in {"best", "failures", "failing", "worse", "slowest"}
        narrowed = {"scene": "cafe", **last_days(7)} if has_period else {}
        names = [each["name"] for each in get(api, f"/prompts/top/{ranking}", **narrowed)["prompts"]]
        shown = tab.page.locator("tbody a").all_inner_texts()
        assert shown == names
        assert names or tab.page.locator("main .note").count() == 1


def test_a_prompts_page_shows_its_stats(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts/portrait"))
    stats = get(api, "/prompts/portrait/stats", **last_days(30))
    assert tab.figure("Uses") == f"{stats['totalUsage']:,}"
    assert tab.figure("Success rate") == percent(stats["successRate"])
    assert tab.figure("Failed") == f"{stats['failureCount']:,}"
    for share in (90, 95, 99):
        assert tab.figure(f"p{share} time") == f"{stats[f'p{share}GenerationTimeMs'] / 1000:.2f} s"
    assert f"n = {stats['totalUsage']:,}" in tab.page.locator("dl.figures").inner_text()
    [error] = tab.rows("Errors by kind")
    assert error[:3] == ["out of memory: <n> MiB", f"{stats['failureCount']:,}", "100.0 %"]
    expect(tab.page.get_by_text("It is the only prompt of its category.")).to_be_visible()
    tab.unfold()
    heat = tab.rows("Scenes by week")
    assert {row[0] for row in heat} == {"none given", "cafe", "beach", HOSTILE}
    scenes = get(api, "/prompts/portrait/scenes", **last_days(30))["scenes"]
    [cafe] = [each for each in scenes if each["scene"] == "cafe"]
    [row] = [row for row in tab.rows("By scene") if row[0] == "cafe"]
    assert row[4:6] == [f"{cafe['p95GenerationTimeMs'] / 1000:.2f} s", str(cafe["uniqueUsers"])]
    timed = [int(row[2].replace(",", "")) for row in tab.rows("Generation times")]
    assert sum(timed) == stats["timedCount"]
    tab.picker("Colour").select_option("uses")
    tab.arrive("colour=uses")
    tab.unfold()
    cells = [row[-1] for row in tab.rows("Scenes by week")]
    assert all(cell.replace(",", "").isdigit() for cell in cells)


def test_a_series_shows_what_was_changed_and_when_its_rate_did(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts/portrait"))
    found = get(api, "/prompts/portrait/series", **last_days(30))["changePoint"]
    noted = get(api, "/prompts/portrait/markers")["markers"]
    assert [each["note"] for each in noted] == [note for _, _, note in (MARKERS[1], MARKERS[0], MARKERS[2])]
    before, since = (
        f"{percent(found[f'{side}SuccessRate'])} ({found[f'{side}SuccessRateLower']:.1f}\N{EN DASH}"
        f"{found[f'{side}SuccessRateUpper']:.1f})"
        for side in ("before", "since")
    )
    expected = [(day.isoformat(), note) for _, day, note in MARKERS[:2]]
    expected.append((found["day"], f"The success rate fell from {before} to {since}"))
    shown = tab.page.locator(".marks li")
    for mark, (day, text) in zip(shown.all(), sorted(expected, key=itemgetter(0)), strict=True):
        expect(mark).to_contain_text(text)
        words = f"{dt.date.fromisoformat(day):%-d %b %Y}"
        expect(mark).to_contain_text(words)
        link = mark.get_by_role("link", name=f"Before and after {words}")
        assert link.get_attribute("href") == f"#/compare?ids={PORTRAIT}&before={day}"
        expect(tab.page.locator(".chart").first).to_have_attribute("aria-label", re.compile(re.escape(text)))
    assert tab.page.locator(".chart .mark-rule line").count() >= 2 * len(expected)
    tab.page.locator(".marks a").last.click()
    expect(tab.page.locator("h1")).to_have_text("Compare prompts")


def test_failures_have_examples_and_each_kind_its_own(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts/portrait"))
    found = get(api, "/prompts/portrait/failures", **last_days(30))["failures"]
    assert len(found) == 20
    rows = tab.rows("Latest failures")
    assert [row[-1] for row in rows] == [each["eventId"] for each in found]
    assert rows[0][1] == "out of memory: <n> MiB"
    tab.page.get_by_role("region", name="Errors by kind").get_by_role("link").click()
    tab.arrive("error=out+of+memory%3A+%3Cn%3E+MiB")
    expect(tab.page.get_by_text("Of the kind out of memory: <n> MiB.")).to_be_visible()
    assert tab.rows("Latest failures") == rows
    tab.page.get_by_role("link", name="All kinds").click()
    tab.arrive("#/prompts/portrait")
    tab.picker("Period").select_option("365")
    expect(tab.page.get_by_text("Of the last 92 days of this period, 20 at most.")).to_be_visible()
    tab.go(page_of(api, "#/prompts/street"))
    assert len(tab.rows("Latest failures")) == 1
    expect(tab.page.get_by_role("region", name="Latest failures")).to_contain_text("no message")


def test_periods_and_bars_are_picked_and_kept_in_the_address(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    tab.picker("Period").select_option("90")
    tab.picker("Bars").select_option("week")
    tab.arrive("#/?days=90&bucket=week")
    found = get(api, "/overview", **last_days(90))
    expect(tab.page.locator("dl.figures dd.value").first).to_have_text(f"{found['usageCount']:,}")
    expect(tab.page.get_by_text(f"{found['from']} to {found['to']}, days of UTC")).to_be_visible()
    tab.page.go_back()
    tab.page.go_back()
    expect(tab.picker("Period")).to_have_value("30")

    tab.picker("Period").select_option("custom")
    day = str(NOW.date() - dt.timedelta(days=8))
    tab.page.get_by_label("From", exact=True).fill(day)
    tab.page.get_by_label("To", exact=True).fill(day)
    tab.arrive(f"from={day}&to={day}")
    found = get(api, "/overview", **{"from": day, "to": day})
    assert found["usageCount"] > 12
    expect(tab.page.locator("dl.figures dd.value").first).to_have_text(str(found["usageCount"]))
    tab.page.get_by_label("To", exact=True).fill(str(NOW.date() - dt.timedelta(days=20)))
    expect(tab.page.get_by_text("The first day is after the last one.")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("#/?from=2026-02-30&to=2026-03-05", "no two days that there are"),
        ("#/prompts?from=2026-03-05", "no two days that there are"),
        ("#/?days=abc", "The address asks for abc days"),
        ("#/prompts/portrait?days=0", "The address asks for 0 days"),
        ("#/prompts?ranking=nicest", "There is no ranking nicest. Choose one above."),
        ("#/compare?ids=1,2,3,4,5", "At most 4 prompts can be compared, and the address names 5."),
    ],
)
def test_an_address_that_asks_for_what_there_is_not_is_answered_with_nothing_else(
    tab: Tab, api: httpx.Client, address: str, said: str
) -> None:
    tab.go(page_of(api, address))
    expect(tab.page.get_by_text(said)).to_be_visible()
    assert tab.page.locator("dl.figures").count() == tab.page.locator("table").count() == 0


def test_any_number_of_days_may_be_asked_for(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/?days=14"))
    found = get(api, "/overview", **last_days(14))
    assert tab.figure("Uses") == f"{found['usageCount']:,}"
    expect(tab.picker("Period")).to_have_value("custom")


def test_an_answer_that_the_browser_kept_is_as_old_as_it_is_now(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/"))
    older = tab.page.evaluate(
        """async () => {
            const { sourceOf } = await import("dashboard/source");
            const lag = async () => (await sourceOf(document).get("/categories")).lagSeconds;
            const first = await lag();
            await new Promise((then) => setTimeout(then, 1500));
            return (await lag()) - first;
        }"""
    )
    assert older >= 1.4


def test_days_are_those_of_the_time_zone(tab: Tab, api: httpx.Client) -> None:
    timezone = "Pacific/Kiritimati"
    tab.go(page_of(api, "#/prompts/portrait?days=7"))
    tab.picker("Time zone").select_option(timezone)
    expect(tab.page.get_by_text(f"days of {timezone}").first).to_be_visible()
    tab.settle()
    tab.page.get_by_text("Data as a table").first.click()
    shown = [row[1] for row in tab.rows("This prompt by day")]
    last = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=14)).date()
    parameters = {"from": str(last - dt.timedelta(days=6)), "to": str(last), "timezone": timezone}
    assert shown == [
        str(day["usageCount"]) for day in get(api, "/prompts/portrait/series", **parameters)["series"]
    ]
    expect(tab.page.locator("#freshness")).to_contain_text("Kiritimati")
    tab.picker("Period").select_option("365")
    expect(tab.page.get_by_text("More than 92 days are counted in days of UTC.").first).to_be_visible()


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kathmandu"])
def test_every_panel_is_of_the_period(tab: Tab, api: httpx.Client, timezone: str) -> None:
    first, last = (NOW.date() - dt.timedelta(days=days) for days in (9, 4))
    tab.go(page_of(api, f"#/prompts/portrait?from={first}&to={last}&timezone={timezone}"))
    stats = get(api, "/prompts/portrait/stats", **{"from": first, "to": last, "timezone": timezone})
    assert 0 < stats["totalUsage"] < get(api, "/prompts/portrait/stats")["totalUsage"]
    uses = f"{stats['totalUsage']:,}"
    assert tab.figure("Uses") == uses
    for kind in ("scene", "environment", "outfit"):
        assert total(tab, f"By {kind}") == uses
    tab.unfold()
    assert total(tab, "This prompt by day") == uses
    assert sum(int(row[2].replace(",", "")) for row in tab.rows("Generation times")) == stats["timedCount"]
    assert total(tab, "Errors by kind") == tab.figure("Failed") == str(stats["failureCount"])

    tab.page.get_by_role("link", name="Overview").click()
    expect(tab.page.locator("h1")).to_have_text("Overview")
    tab.settle()
    whole = tab.figure("Uses")
    for caption in ("Most used", "By scene", "By environment", "By outfit"):
        assert total(tab, caption) == whole
    categories = tab.rows("By category")
    assert f"{sum(int(row[2].replace(',', '')) for row in categories):,}" == whole
    tab.page.get_by_role("link", name="Portrait").first.click()
    expect(tab.page.locator("h1")).to_have_text("Portrait")
    tab.settle()
    assert tab.figure("Uses") == uses


def total(tab: Tab, caption: str) -> str:
    """What the second column of a table adds up to."""
    return f"{sum(int(row[1].replace(',', '')) for row in tab.rows(caption)):,}"


def test_hours_are_shown_where_the_api_has_them(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts/portrait?days=7&bucket=hour"))
    tab.page.get_by_text("Data as a table").first.click()
    assert len(tab.rows("This prompt by hour")) == 7 * 24
    tab.picker("Period").select_option("30")
    expect(tab.picker("Bars")).to_have_value("day")


def test_a_prompt_is_found_by_name_slug_id_and_tag(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    field = tab.page.get_by_role("searchbox")
    found = tab.page.locator("#found li")
    for text, name in (
        ("portr", "Portrait"),
        ("unus", "Unused"),
        (str(STREET)[-5:], "Street"),
        ("NIGHT", "Street"),
    ):
        field.fill(text)
        expect(found.filter(has_text=name)).to_be_visible()
    assert found.count() == 1
    # Words of a template are no name.
    field.fill("script")
    expect(found).to_have_text(["No prompt is called that."])
    assert tab.faults() == []
    field.fill("street")
    field.press("Enter")
    expect(tab.page.locator("h1")).to_have_text("Street")
    assert found.count() == 0


def test_prompts_are_compared_over_the_period(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/compare"))
    expect(tab.page.get_by_text("Name prompts above")).to_be_visible()
    tab.page.get_by_label("First prompt").fill("portrait")
    tab.page.get_by_label("Second prompt").fill("Street")
    tab.page.get_by_role("button", name="Compare").click()
    tab.arrive("ids=portrait%2CStreet")
    given = {"ids": "portrait,street", **last_days(30)}
    found = get(api, "/prompts/difference", **given)
    verdict = found["differences"][0]["verdict"]
    expect(tab.page.locator(".verdicts li")).to_have_text([f"{verdict[0].upper()}{verdict[1:]}."])
    rows = tab.rows("Prompts beside each other")
    assert [row[0] for row in rows] == ["Portrait", "Street"]
    assert [row[3] for row in rows] == [f"{each['usageCount']:,}" for each in found["prompts"]]
    tab.picker("Period").select_option("7")
    tab.arrive("days=7")
    expect(tab.page.locator(".verdicts li")).to_have_text(
        ["Street was not used: there is nothing to compare."]
    )


def test_one_prompt_is_compared_before_and_after_a_day(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, "#/prompts/portrait?days=7"))
    tab.page.get_by_role("link", name="before and after a day").click()
    tab.arrive(f"ids={PORTRAIT}")
    found = get(api, "/prompts/difference", ids=str(PORTRAIT), **last_days(7))
    rows = tab.rows("Prompts beside each other")
    assert [row[0] for row in rows] == [
        f"Portrait {each['from']} to {each['to']}" for each in found["prompts"]
    ]
    assert [row[3] for row in rows] == [f"{each['usageCount']:,}" for each in found["prompts"]]
    before = NOW.date() - dt.timedelta(days=5)
    tab.page.get_by_label("Before and since the day").fill(str(before))
    tab.page.get_by_role("button", name="Compare").click()
    tab.arrive(f"before={before}")
    found = get(api, "/prompts/difference", ids=str(PORTRAIT), before=str(before))
    verdict = found["differences"][0]["verdict"]
    expect(tab.page.locator(".verdicts li")).to_have_text([f"{verdict[0].upper()}{verdict[1:]}."])
    assert [row[3] for row in tab.rows("Prompts beside each other")] == [
        f"{each['usageCount']:,}" for each in found["prompts"]
    ]
    # What is shown has days of its own.
    expect(tab.picker("Period")).to_have_count(0)
    tab.page.get_by_label("Before and since the day").fill(str(NOW.date()))
    tab.page.get_by_role("button", name="Compare").click()
    expect(tab.page.get_by_text("no day since then is over yet")).to_be_visible()
    assert ["422" in complaint for complaint in tab.complaints] == [True]
    tab.complaints.clear()


@pytest.mark.parametrize("timezone", ["UTC", "Asia/Kathmandu"])
def test_key_figures_stand_beside_those_of_the_period_before(
    tab: Tab, api: httpx.Client, timezone: str
) -> None:
    first, last = (NOW.date() - dt.timedelta(days=days) for days in (9, 4))
    asked = {"from": first, "to": last, "timezone": timezone}
    before, now = get(api, "/prompts/difference", ids="portrait", **asked)["prompts"]
    overview = get(api, "/overview", **asked)
    for view, one, other in (
        ("#/prompts/portrait", now, before),
        ("#/", overview["compared"], overview["previous"]),
    ):
        tab.go(page_of(api, f"{view}?from={first}&to={last}&timezone={timezone}"))
        figures = tab.page.locator("dl.figures")
        for name in ("usageCount", "failureCount"):
            said = f"whole days: {one[name]:,} against {other[name]:,} before"
            expect(figures.get_by_text(said)).to_be_visible()
        days = f"Whole days are compared: {one['from']} to {one['to']} with {other['from']} to {other['to']}."
        expect(tab.page.get_by_text(days)).to_be_visible()
        rates = f"whole days: {percent(one['successRate'])} against {percent(other['successRate'])} before"
        expect(figures.get_by_text(rates)).to_be_visible()
    # A day that is not over is compared with nothing.
    tab.go(page_of(api, f"#/prompts/portrait?from={NOW.date()}&to={NOW.date()}"))
    expect(tab.page.get_by_text("this one is not over")).to_be_visible()


def test_scenes_are_sorted_by_what_is_sure(tab: Tab, api: httpx.Client) -> None:
    scenes = get(api, "/prompts/portrait/scenes", **last_days(30))["scenes"]
    tab.go(page_of(api, "#/prompts/portrait"))
    for order, name in (("success", "successCount"), ("failure", "failureCount")):
        tab.picker("Scenes, environments and outfits by").select_option(order)
        tab.arrive(f"order={order}")
        rows = tab.rows("By scene")
        lower = sorted(scenes, key=lambda row: -wilson(row[name], row["usageCount"], Z_95)[0])
        assert [row[1] for row in rows] == [f"{each['usageCount']:,}" for each in lower]
    standings = {each["scene"]: each["standing"] for each in scenes}
    marked = {row[0]: row[2].split()[0] for row in tab.rows("By scene")}
    assert {each for each in standings.values() if each} == {"best", "worst"}
    for scene, standing in standings.items():
        assert (marked[scene or "none given"] == standing) == (standing is not None)


def test_a_users_page_shows_what_the_user_likes(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api, f"#/users/{USER}"))
    found = get(api, f"/users/{USER}/prompts")["prompts"]
    rows = tab.rows("The user's prompts")
    assert [row[:2] for row in rows] == [["Unused favourite", "0"], ["Street outdoor", "12"]]
    assert [each["name"] for each in found] == ["Unused", "Street"]
    tab.page.get_by_role("link", name="Street").click()
    expect(tab.page.locator("h1")).to_have_text("Street")


def test_charts_follow_the_colour_scheme(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    bar = tab.page.locator(".chart path[fill^='#']").first

    def colours() -> tuple[Any, Any]:
        ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return ground, bar.get_attribute("fill")

    light = colours()
    tab.page.emulate_media(color_scheme="dark")
    expect(bar).not_to_have_attribute("fill", str(light[1]))
    assert all(one != other for one, other in zip(colours(), light, strict=True))


def test_everything_can_be_reached_with_the_keyboard(tab: Tab, api: httpx.Client) -> None:
    tab.go(page_of(api))
    tab.page.keyboard.press("Tab")
    expect(tab.page.get_by_role("link", name="Skip to the numbers")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("main")).to_be_focused()
    tab.page.get_by_role("link", name="Prompts", exact=True).focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    tab.page.keyboard.press("Shift+Tab")
    assert tab.page.evaluate(outline) == "solid"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("h1")).to_be_focused()
    expect(tab.page.locator("#status")).to_have_text("Most used prompts is shown")
    ranking = tab.picker("Ranking")
    ranking.focus()
    tab.page.keyboard.press("ArrowDown")
    expect(ranking).to_have_value("favored")
    tab.arrive("ranking=favored")
    expect(ranking).to_be_focused()


def test_names_are_text_whatever_they_look_like(tab: Tab, api: httpx.Client) -> None:
    for view in ("#/", "#/prompts", f"#/prompts/{EVIL}", "#/prompts/portrait"):
        tab.go(page_of(api, view))
        expect(tab.page.locator("main").get_by_text(HOSTILE).first).to_be_attached()
        for cell in tab.page.locator(".chart path[fill^='rgb']").all()[:3]:
            cell.hover(force=True)
            expect(tab.page.locator(".tooltip")).to_contain_text("scene")
        assert tab.page.locator("img").count() == 0
    assert tab.page.title() == "Portrait · Prompt stats"
    tab.go(page_of(api, f"#/prompts?category={HOSTILE}"))
    assert [row[1] for row in tab.rows("Most used prompts")] == [f"{HOSTILE} {HOSTILE}"]


def test_no_view_is_wider_than_the_window(window: BrowserContext, api: httpx.Client) -> None:
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    with opened(window) as tab:
        for view in (*VIEWS, f"#/prompts/{EVIL}"):
            tab.go(page_of(api, view))
            tab.unfold()
            for width in WIDTHS:
                tab.page.set_viewport_size({"width": width, "height": 800})
                tab.settle()
                assert tab.page.evaluate(too_wide) == 0, (view, width)


MAIN_NUMBERS = """() => [...document.querySelectorAll('.scroll')].flatMap((place) => {
    const cell = place.querySelector('tbody .number:not([data-title="#"])');
    if (!cell || !place.offsetParent) return [];
    const text = document.createRange();
    text.selectNodeContents(cell.querySelector('span') ?? cell);
    const [box, frame] = [text.getBoundingClientRect(), place.getBoundingClientRect()];
    const right = Math.min(frame.right, innerWidth) + 1;
    return [[place.ariaLabel, box.width > 0 && box.left >= frame.left - 1 && box.right <= right]];
})"""
"""Of each table, whether its main number, the first of a row, is seen without scrolling sideways."""

LABELS = r"""() => [...document.querySelectorAll('.chart svg')].map((chart) => {
    const seen = (each) => each.getAttribute('opacity') !== '0' && each.textContent.trim();
    const texts = (place, names) => [...place.querySelectorAll(names)].filter(seen);
    const isMark = (each) => /^p\d/.test(each.textContent) || each.getAttribute('font-weight') === 'bold';
    const marks = texts(chart, 'text').filter(isMark)
        .map((each) => [each.textContent, each.getBoundingClientRect()]);
    const meets = ([, one], [, other]) => one.left < other.right && other.left < one.right
        && one.top < other.bottom && other.top < one.bottom;
    const frame = chart.getBoundingClientRect();
    const isCut = ([, box]) => box.left < frame.left - 1 || box.right > frame.right + 1;
    const faulty = marks.filter((each, index) => isCut(each)
        || marks.slice(index + 1).some((other) => meets(each, other)));
    const labels = (axis) => texts(axis, '.role-axis-label text').length;
    const axes = [...chart.querySelectorAll('.role-axis')].map(labels);
    return {
        words: chart.closest('.chart').ariaLabel, marks: marks.length,
        faulty: faulty.map(([text]) => text), axes: axes.filter(Boolean),
    };
})"""
"""Of each chart: marks of percentiles and days that meet or are cut off; how many labels each axis shows."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 420, 1280])
def test_numbers_and_labels_are_seen_on_every_screen(
    window: BrowserContext, api: httpx.Client, width: int, scheme: Literal["light", "dark"]
) -> None:
    """Of a picture what matters: where things are. A committed one would differ with every font."""
    with opened(window) as tab:
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        seen = 0
        for view in (*VIEWS, "#/prompts/portrait?days=7&bucket=hour"):
            tab.go(page_of(api, view))
            found = tab.page.evaluate(MAIN_NUMBERS)
            assert [name for name, is_inside in found if not is_inside] == [], view
            for chart in tab.page.evaluate(LABELS):
                assert chart["faulty"] == [], (view, chart)
                assert min(chart["axes"], default=3) >= 3, (view, chart)
                seen += chart["marks"]
            seen += len(found)
            assert tab.faults("color-contrast") == [], view
        assert seen > 20


def test_axe_finds_no_fault(window: BrowserContext, api: httpx.Client) -> None:
    with opened(window) as tab:
        tab.page.emulate_media(reduced_motion="reduce")
        for view in VIEWS:
            tab.go(page_of(api, view))
            tab.unfold()
            assert tab.faults() == [], view
            tab.page.emulate_media(color_scheme="dark")
            tab.settle()
            assert tab.faults("color-contrast") == [], view
            tab.page.emulate_media(color_scheme="light")


def test_a_token_is_asked_for_and_stays_in_the_tab(
    window: BrowserContext, filled: Database, settings: Settings
) -> None:
    variables = {"PROMPT_STATS_HOME": settings.home, "PROMPT_STATS_API_TOKEN": "read:reader,write:writer"}
    with served(filled, **variables) as api, opened(window) as tab:
        tab.go(page_of(api))
        assert tab.heading() == "A token is needed"
        for token, said in (
            ("nobody", "This token is not known."),
            ("writer", "This token may not read stats."),
        ):
            tab.page.get_by_label("Token").fill(token)
            tab.page.get_by_role("button", name="Show the stats").click()
            expect(tab.page.get_by_role("alert")).to_have_text(said)
        assert tab.faults() == []
        tab.page.get_by_label("Token").fill("reader")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("h1")).to_have_text("Overview")
        assert tab.page.evaluate("[Object.values(sessionStorage), localStorage.length, document.cookie]") == [
            ["reader"],
            0,
            "",
        ]
        assert not [request for request in tab.requests if "reader" in request]
        tab.page.reload()
        expect(tab.page.locator("h1")).to_have_text("Overview")
        tab.page.get_by_role("button", name="Forget the token").click()
        expect(tab.page.locator("h1")).to_have_text("A token is needed")
        assert tab.page.evaluate("sessionStorage.length") == 0


def test_what_is_not_there_is_said(window: BrowserContext, api: httpx.Client) -> None:
    with opened(window) as tab:
        tab.go(page_of(api, "#/prompts/unused"))
        expect(tab.page.get_by_text("This prompt was never used.")).to_be_visible()
        tab.go(page_of(api, "#/prompts/nobodys"))
        assert tab.heading() == "There is no such prompt"
        tab.go(page_of(api, "#/elsewhere"))
        assert tab.heading() == "There is no such page"
        tab.page.route("**/overview?*", lambda route: route.abort())
        tab.go(page_of(api))
        assert tab.heading() == "The stats can't be read now"
        expect(tab.page.get_by_text("The server does not answer.")).to_be_visible()
        tab.page.unroute("**/overview?*")
        tab.page.get_by_role("button", name="Try again").click()
        expect(tab.page.locator("h1")).to_have_text("Overview")
        # One part's failure is said in its place.
        tab.page.route(
            "**/times?*", lambda route: route.fulfill(status=503, json={"detail": "The lake is away"})
        )
        tab.go(page_of(api, "#/prompts/portrait"))
        expect(tab.page.get_by_text("The lake is away")).to_be_visible()
        assert tab.rows("By scene")


def test_before_the_first_refresh_and_behind_it(
    window: BrowserContext, database: Database, lake: str
) -> None:
    with served(database, PROMPT_STATS_LAKE_URI=lake) as api, opened(window) as tab:
        tab.go(page_of(api))
        expect(tab.page.get_by_text("No stats yet.")).to_be_visible()
        tab.go(page_of(api, "#/prompts"))
        expect(tab.page.get_by_text("No prompt was used yet.")).to_be_visible()
        refresh(at(database, lake))
        tab.go(page_of(api, "#/"))
        expect(tab.page.get_by_text("No prompt was used in this period.")).to_be_visible()
        assert tab.page.locator(".warning").count() == 0
        with psycopg.connect(database.conninfo) as operator:
            operator.execute(
                "UPDATE stats_refresh SET as_of = as_of - interval '20 minutes',"
                " pending_days = '[\"2026-01-31\"]'"
            )
        tab.page.reload()
        expect(tab.page.get_by_text("These numbers are 20 min behind.")).to_be_visible()
        expect(tab.page.get_by_text("1 day could not be brought up to date: 2026-01-31.")).to_be_visible()
        assert tab.complaints == []


def test_the_file_shows_the_same_without_a_server(
    window: BrowserContext, api: httpx.Client, report: Report
) -> None:
    with opened(window) as tab:
        tab.go(report.file.as_uri())
        found = get(api, "/overview", **last_days(30))
        assert tab.figure("Uses") == f"{found['usageCount']:,}"
        expect(tab.page.get_by_text("This is a file")).to_be_visible()
        expect(tab.picker("Time zone")).to_be_disabled()
        expect(tab.page.get_by_text("Other time zones need the API.")).to_be_visible()
        assert tab.faults() == []
        tab.go(f"{report.file.as_uri()}#/prompts/{PORTRAIT}")
        assert tab.page.locator(".marks li").count() == 3
        assert tab.page.locator(".marks a").count() == 0
        assert tab.page.get_by_text("Latest failures").count() == 0
        choices = [
            every_choice(tab, f"{report.file.as_uri()}{view}")
            for view in (
                "#/",
                "#/?days=90",
                f"#/prompts/{PORTRAIT}",
                f"#/prompts/{PORTRAIT}?days=90",
                "#/prompts",
            )
        ]
        assert choices[:4] == [8, 9, 10, 11]
        assert choices[4] >= 7 + 3 + 4 + 4
        expect(tab.page.get_by_text("This file has pages of the 3 most used prompts.")).to_be_visible()
        tab.go(f"{report.file.as_uri()}#/prompts/{UNUSED}")
        assert tab.heading() == "Not in this file"
        assert tab.complaints == []
        # Also of what a page of the file's folder could reach: nothing but itself, and modules within it.
        assert {request.split("#")[0] for request in tab.requests if not request.startswith("data:")} == {
            report.file.as_uri()
        }


def every_choice(tab: Tab, view: str) -> int:
    """Takes each choice of a view's pickers; the file has to hold what is shown then. How many there were."""
    tab.go(view)
    choices = tab.page.locator("#toolbar select:enabled option:enabled, main select option:enabled")
    values = choices.evaluate_all("options => options.map((each) => [each.parentNode.id, each.value])")
    for picker, choices_of_it in groupby(values, itemgetter(0)):
        tab.go(view)
        for _, value in choices_of_it:
            tab.page.locator(f"#{picker}").select_option(value)
            tab.settle()
            expect(tab.page.locator(f"#{picker}")).to_have_value(value)
            assert tab.page.get_by_text("This file does not hold that").count() == 0, (view, picker, value)
    tab.go(view)
    return len(values)


def test_the_file_is_an_asset(
    window: BrowserContext,
    filled: Database,
    tmp_path: Path,
    new_home: Callable[[Path], Settings],
) -> None:
    elsewhere = new_home(tmp_path)
    with dg.DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(1) as thread:
        job = build_definitions(Stores(elsewhere, filled)).resolve_job_def(REPORT_JOB)
        assert thread.submit(job.execute_in_process, instance=instance).result().success
        event = instance.get_latest_materialization_event(dg.AssetKey("stats_report"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    file = elsewhere.home / "report.html"
    assert metadata["file"].value == str(file)
    assert metadata["bytes"].value == file.stat().st_size
    assert "| Portrait |" in str(metadata["most_used"].value)
    assert "<img" not in str(metadata["most_used"].value)
    with opened(window) as tab:
        tab.go(file.as_uri())
        assert tab.heading() == "Overview"


@pytest.fixture
def new_home(settings: Settings) -> Callable[[Path], Settings]:
    """Settings with another home and the same lake."""
    return lambda home: settings.model_copy(update={"home": home, "lake_uri": settings.lake})


def test_the_page_is_guarded_and_no_part_of_the_description(api: httpx.Client) -> None:
    answer = api.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'self' 'sha256-" in policy
    paths = get(api, "/openapi.json")["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/dashboard")]
    files = [f"/dashboard/{file.name}" for file in REPOSITORY.glob("pipeline/web/dashboard/static/*.*s")]
    for path in ("/", "/dashboard/vega.js", *files):
        answer = api.get(path)
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert answer.headers["referrer-policy"] == "no-referrer"
        again = api.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for path in ("/dashboard/page.html", "/dashboard/..%2Fpage.py", "/dashboard/nothing.js"):
        assert api.get(path).status_code == 404


def test_without_a_browser_ci_fails_and_others_skip() -> None:
    program = "from tests.browser import chromium\nwith chromium(): pass"
    for variables, outcome in (({"CI": "true"}, "Failed: "), ({}, "Skipped: ")):
        inherited = {name: value for name, value in os.environ.items() if name != "CI"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**inherited, "PATH": "", "PYTHONPATH": str(REPOSITORY), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"{outcome}There is no Chromium" in done.stderr
