"""Dagster's own UI as an operator uses it: ``prompt-stats ui`` in a browser, and a backfill from it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from playwright.sync_api import Page, expect

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY
from pipeline.orchestration.jobs import RANGE_START
from pipeline.orchestration.running import BACKFILL, REASON, WRITERS
from tests.browser import chromium
from tests.dagster_ui import dagster_ui
from tests.oracle import assert_equals_recount

BACKFILL_MS = 240_000

TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - number * ONE_DAY for number in range(10, 0, -1)]
FIRST_DAY = DAYS[0] - 10 * ONE_DAY


def launch_backfill(page: Page, address: str) -> None:
    """Days of all assets, from the page of the job."""
    page.goto(f"{address}/locations/pipeline/jobs/refresh_stats")
    page.get_by_role("button", name="Materialize all").click()
    chosen = page.get_by_placeholder("No matching partitions")
    # Nothing is chosen beforehand, as docs/operations.md says.
    expect(chosen).to_have_value("")
    expect(page.get_by_role("button", name="Launch backfill")).to_be_disabled()
    chosen.fill(f"[{DAYS[0]}...{DAYS[-1]}]")
    chosen.press("Tab")
    expect(page.get_by_text(f"{len(DAYS)} partitions", exact=True)).to_be_visible()
    page.get_by_role("button", name="Launch backfill").click()
    expect(page.get_by_text("Created backfill")).to_be_visible()


@pytest.fixture
def page() -> Iterator[Page]:
    """A window that waits for a busy machine."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        yield page


def test_an_operator_backfills_ten_days(page: Page, database: Database, tmp_path: Path) -> None:
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(
            "INSERT INTO prompt_usage (prompt_id, scene, success, created_at)"
            " VALUES (gen_random_uuid(), 'cafe', true, %s)",
            [(day,) for day in DAYS for _ in range(3)],
        )
    with dagster_ui(
        tmp_path, DATABASE_URL=database.conninfo, PROMPT_STATS_START_DATE=FIRST_DAY.isoformat()
    ) as address:
        page.goto(f"{address}/assets/usage_events")
        expect(page.get_by_text("The raw events of")).to_be_visible()
        expect(page.get_by_text("The event's id, given by its producer")).to_be_visible()

        launch_backfill(page, address)
        page.goto(f"{address}/runs?view=backfills")
        expect(page.get_by_text(re.compile("^(Completed|Success)$")).first).to_be_visible(timeout=BACKFILL_MS)

        page.goto(f"{address}/assets/usage_events?view=partitions")
        # Today's partition too, where a tick of the schedule came meanwhile.
        ten = re.compile(rf"Materialized \(({len(DAYS)}|{len(DAYS) + 1})\)")
        expect(page.get_by_text(ten)).to_be_visible()
        expect(page.get_by_text("Failed (0)")).to_be_visible()
        page.goto(f"{address}/assets/prompt_stats?view=events")
        expect(page.get_by_text("Materialized in run").first).to_be_visible()
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={REASON: BACKFILL}))
    with psycopg.connect(database.conninfo) as connection:
        publishes = connection.execute(
            "SELECT usage_count FROM stats_refresh WHERE run_id = ANY(%s)", [[run.run_id for run in runs]]
        ).fetchall()
    # One range of days, and one write-back after it.
    [over_the_days] = [run for run in runs if RANGE_START in run.tags]
    assert over_the_days.run_op_concurrency
    assert over_the_days.run_op_concurrency.all_pools == {WRITERS}
    assert publishes == [(3 * len(DAYS),)]
    assert_equals_recount(database, FIRST_DAY)
