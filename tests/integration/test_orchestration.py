"""Dagster: the workspace loads, the schedule asks for the stale days, a run over a range publishes."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from deltalake import DeltaTable

from pipeline.database.connections import Database
from pipeline.days import DayRange
from pipeline.definitions import build_definitions
from pipeline.errors import LakeError
from pipeline.orchestration import jobs
from pipeline.orchestration.instance import run_refresh
from pipeline.orchestration.jobs import (
    JOB,
    MAX_RUNTIME,
    RANGE_END,
    RANGE_START,
    UNLIMITED,
    VALUES_JOB,
    refresh_stats_schedule,
)
from pipeline.orchestration.resources import Stores
from pipeline.orchestration.running import REASON
from pipeline.publish import values
from pipeline.refresh import refresh
from tests.app import at
from tests.command import REPOSITORY, environment, run
from tests.conftest import FIRST_DAY
from tests.lake import open_to_write
from tests.oracle import assert_equals_recount

ANY = uuid.UUID(int=1)
TICK = dt.datetime(2026, 1, 1, 12, 0, tzinfo=dt.UTC)


def today() -> dt.date:
    """Not a constant: a session may begin before midnight and end after it."""
    return dt.datetime.now(dt.UTC).date()


def append(database: Database, *days: dt.date | None) -> None:
    """One event a day given."""
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(
            "INSERT INTO prompt_usage (prompt_id, user_id, created_at)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), %s)",
            [(day,) for day in days],
        )


def evaluate(
    instance: dg.DagsterInstance, stores: Stores, tick: dt.datetime = TICK
) -> list[dg.RunRequest] | str | None:
    """What the schedule asks for: runs, or why there are none."""
    context = dg.build_schedule_context(
        instance=instance, resources={"stores": stores}, scheduled_execution_time=tick
    )
    with context:
        ticked = refresh_stats_schedule.evaluate_tick(context)
    return list(ticked.run_requests or []) or ticked.skip_message


def ranges(requests: list[dg.RunRequest] | str | None) -> list[tuple[str, str]]:
    """The ranges of the runs asked for."""
    assert isinstance(requests, list), requests
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests]


def only(requests: list[dg.RunRequest] | str | None) -> dg.RunRequest:
    """The one run asked for."""
    assert isinstance(requests, list), requests
    (request,) = requests
    return request


def test_workspace_loads_and_validates(tmp_path: Path) -> None:
    validate = ("definitions", "validate", "-w", str(REPOSITORY / "workspace.yaml"))
    done = run("dagster", *validate, **environment(tmp_path, DAGSTER_HOME=str(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pipeline" in done.stdout + done.stderr


def test_schedule_is_on_and_runs_every_five_minutes(stores: Stores) -> None:
    schedule = build_definitions(stores).resolve_schedule_def("refresh_stats_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "*/5 * * * *"
    assert schedule.job_name == JOB


def test_every_schedule_says_why_its_runs_are(
    stored_instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "retain_days", 30)
    definitions = build_definitions(stores)
    reasons = {}
    for each in definitions.schedules or []:
        schedule = definitions.resolve_schedule_def(each.name)
        with dg.build_schedule_context(
            instance=stored_instance, resources={"stores": stores}, scheduled_execution_time=TICK
        ) as context:
            [request] = schedule.evaluate_tick(context).run_requests or []
        reasons[schedule.job_name] = request.tags.get(REASON)
    assert set(reasons.values()) == {"tick", "nightly"}, reasons


def test_schedule_asks_for_one_run_a_range_and_bridges_small_gaps(
    stored_instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    day = dt.timedelta(days=1)
    times = (today(), today() - 8 * day, today() - 17 * day, None)
    append(database, *times)
    # Of a history that was never counted no first part is published.
    assert ranges(evaluate(stored_instance, stores)) == [(FIRST_DAY.isoformat(), today().isoformat())]
    refresh(at(database, stores.lake))
    append(database, *times)
    requests = evaluate(stored_instance, stores)
    assert isinstance(requests, list)
    assert ranges(requests) == [
        (FIRST_DAY.isoformat(), FIRST_DAY.isoformat()),
        ((today() - 17 * day).isoformat(), (today() - 17 * day).isoformat()),
        ((today() - 8 * day).isoformat(), today().isoformat()),
    ]
    keys = [request.run_key for request in requests]
    later = evaluate(stored_instance, stores, TICK + dt.timedelta(minutes=5))
    assert isinstance(later, list)
    # A used key never fires again, so each tick has keys of its own.
    assert not {*keys} & {request.run_key for request in later}


def test_a_run_says_why_it_is(
    stored_instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    day = dt.timedelta(days=1)
    append(database, today(), *(today() - number * 20 * day for number in (1, 2, 3, 4)))
    refresh(at(database, stores.lake))
    append(database, today(), today() - 20 * day)
    with psycopg.connect(database.conninfo) as app:
        app.execute("DELETE FROM prompt_usage WHERE created_at::date = %s", (today() - 40 * day,))
    table = open_to_write(database, stores.lake)
    table.replace([today() - 80 * day, today() - 60 * day], table.schema.empty_table())
    requests = evaluate(stored_instance, stores)
    assert isinstance(requests, list)
    assert [
        (str(today() - dt.date.fromisoformat(request.tags[RANGE_START])), request.tags[REASON])
        for request in requests
    ] == [
        # What has to be repaired is one run: nothing is published before all of it is there.
        ("80 days, 0:00:00", "repair"),
        ("40 days, 0:00:00", "changed_data"),
        ("20 days, 0:00:00", "late_data"),
        ("0:00:00", "tick"),
    ]


def test_schedule_asks_for_today_when_nothing_is_stale(
    stored_instance: dg.DagsterInstance, stores: Stores
) -> None:
    assert ranges(evaluate(stored_instance, stores)) == [(today().isoformat(), today().isoformat())]


def test_schedule_waits_for_a_run_under_way(
    stored_instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = build_definitions(stores).resolve_job_def(JOB)
    run = stored_instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags={RANGE_START: str(today()), RANGE_END: str(today())}
    )
    said = evaluate(stored_instance, stores)
    assert isinstance(said, str)
    assert "still running" in said
    with monkeypatch.context() as patch:
        # As if it had begun long ago: a machine that went down leaves such a run for ever.
        patch.setattr(jobs, "MAX_TICK_SECONDS", -60)
        assert isinstance(evaluate(stored_instance, stores), list)
    stored_instance.report_run_canceled(run)
    assert isinstance(evaluate(stored_instance, stores), list)


def test_a_whole_history_takes_as_long_as_it_takes(
    stored_instance: dg.DagsterInstance, stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = only(evaluate(stored_instance, stores))
    assert first.tags[MAX_RUNTIME] == UNLIMITED
    job = build_definitions(stores).resolve_job_def(JOB)
    run = stored_instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=first.tags)
    with monkeypatch.context() as patch:
        # However long ago it began, no other is started beside it.
        patch.setattr(jobs, "MAX_TICK_SECONDS", -60)
        assert isinstance(evaluate(stored_instance, stores), str)
    stored_instance.report_run_canceled(run)

    append(database, today())
    refresh(at(database, stores.lake))
    append(database, today())
    assert only(evaluate(stored_instance, stores)).tags[MAX_RUNTIME] == str(jobs.MAX_TICK_SECONDS)
    table = open_to_write(database, stores.lake)
    table.replace([today()], table.schema.empty_table())
    assert only(evaluate(stored_instance, stores)).tags[MAX_RUNTIME] == UNLIMITED


def test_what_is_counted_by_value_follows_every_night(
    instance: dg.DagsterInstance, stores: Stores, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "EVENTS_PER_BATCH", 1)
    definitions = build_definitions(stores)
    with pytest.raises(LakeError, match="prompt-stats refresh first"):
        values.publish_values(at(database, stores.lake))
    refresh(at(database, stores.lake))
    for _ in range(2):
        append(database, today())
        refresh(at(database, stores.lake))
    state = "SELECT value_stats_as_of = as_of FROM stats_refresh ORDER BY id DESC LIMIT 1"
    with psycopg.connect(database.conninfo) as connection:
        assert connection.execute(state).fetchone() == (None,)
        result = definitions.resolve_job_def(VALUES_JOB).execute_in_process(instance=instance)
        counted = result.asset_materializations_for_node("publish_values")[0].metadata
        connection.commit()
        assert connection.execute(state).fetchone() == (True,)
        assert counted["rows_written"].value == 6
    assert_equals_recount(database, FIRST_DAY)
    refresh(at(database, stores.lake))
    with psycopg.connect(database.conninfo) as connection:
        assert connection.execute(state).fetchone() == (False,)


def test_stats_of_users_follow_every_hour(
    stored_instance: dg.DagsterInstance, instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    append(database, today())
    refresh(at(database, stores.lake))
    append(database, today())
    request = only(evaluate(stored_instance, stores))
    assert request.asset_selection is not None
    build_definitions(stores).resolve_job_def(JOB).execute_in_process(
        instance=instance,
        tags=dict(request.tags),
        run_config=request.run_config,
        asset_selection=request.asset_selection,
    )
    with psycopg.connect(database.conninfo) as connection:
        counts = "SELECT (SELECT sum(usage_count) FROM {}_stats)::int"
        prompts = connection.execute(counts.format("prompt").encode()).fetchone()
        users = connection.execute(counts.format("user_prompt").encode()).fetchone()
        last = connection.execute(
            "SELECT as_of > user_stats_as_of FROM stats_refresh ORDER BY id DESC LIMIT 1"
        ).fetchone()
        connection.execute("UPDATE stats_refresh SET published_at = published_at - interval '1 hour'")
    assert (prompts, users, last) == ((2,), (1,), (True,))
    hourly = only(evaluate(stored_instance, stores)).asset_selection
    assert hourly is not None
    assert set(hourly) - set(request.asset_selection) == {
        dg.AssetKey(name) for name in ("prompt_user_monthly", "prompt_user_total")
    }
    refresh(at(database, stores.lake))
    assert_equals_recount(database, FIRST_DAY)


def test_what_a_backfill_made_is_in_sync(
    instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    """Though the app goes on: what came since the run began is for the next refresh."""
    definitions, first = build_definitions(stores), today() - dt.timedelta(days=1)
    for _ in range(2):
        append(database, first, today())
        with psycopg.connect(database.conninfo) as app:
            app.execute(
                "INSERT INTO prompt_favorites (user_id, prompt_id) VALUES (gen_random_uuid(), %s)", [ANY]
            )
        run_refresh(definitions, instance, DayRange(first, today()), replace=True)
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    stale = {
        (key.to_user_string(), day): [cause.reason for cause in resolver.get_stale_causes(key, day)]
        for key in graph.get_all_asset_keys()
        for day in ([first.isoformat(), today().isoformat()] if graph.get(key).partitions_def else [None])
    }
    assert {name: why for name, why in stale.items() if why} == {}
    assert resolver.get_status(dg.AssetKey("usage_events"), first.isoformat()) is StaleStatus.FRESH


def test_run_over_a_range_publishes_and_marks_its_partitions(
    instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    first = today() - dt.timedelta(days=2)
    append(database, first, today(), today())
    run_id = run_refresh(build_definitions(stores), instance, DayRange(first, today()), replace=False)
    assert_equals_recount(database, FIRST_DAY)
    records = instance.fetch_materializations(dg.AssetKey("usage_events"), limit=10).records
    assert {record.partition_key for record in records} == {
        (first + dt.timedelta(days=number)).isoformat() for number in range(3)
    }
    counts = {
        record.partition_key: record.asset_materialization.metadata["dagster/partition_row_count"].value
        for record in records
        if record.asset_materialization
    }
    assert [counts[day] for day in sorted(map(str, counts))] == [1, 0, 2]
    published = instance.get_latest_materialization_event(dg.AssetKey("prompts"))
    assert published is not None
    assert published.run_id == run_id
    assert published.asset_materialization
    assert {"rows_in", "rows_written", "watermark", "lag_seconds", "bytes_of_table", "seconds"} <= set(
        published.asset_materialization.metadata
    )
    shown = instance.get_latest_materialization_event(dg.AssetKey("prompt_stats"))
    assert shown is not None
    assert shown.asset_materialization
    assert {"preview", "chart", "dagster/row_count"} <= set(shown.asset_materialization.metadata)
    for name in ("prompt_usage", "posts", "prompt_favorites"):
        (observed,) = instance.fetch_observations(dg.AssetKey(name), limit=9).records
        assert observed.event_log_entry.asset_observation
        figures = observed.event_log_entry.asset_observation.metadata
        assert {"rows_estimated", "dagster/last_updated_timestamp"} <= set(figures)
        if name == "prompt_usage":
            assert figures["rows_in_lake"].value == 3
    run = instance.get_run_by_id(run_id)
    assert run
    assert run.tags[REASON] == "manual"
    with psycopg.connect(database.conninfo) as connection:
        row = connection.execute("SELECT run_id, usage_count FROM stats_refresh").fetchone()
    assert row == (run_id, 3)


def test_backfill_replaces_days_by_default(
    instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    append(database, today())
    refresh(at(database, stores.lake))
    before = DeltaTable(f"{stores.lake}/usage_events").file_uris()
    run_refresh(build_definitions(stores), instance, DayRange(today(), today()), replace=True)
    assert not set(before) & set(DeltaTable(f"{stores.lake}/usage_events").file_uris())
    assert_equals_recount(database, FIRST_DAY)
