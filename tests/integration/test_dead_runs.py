"""Runs whose process is gone do not hold up the others for ever."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.orchestration import dead_runs
from pipeline.orchestration.jobs import JOB
from pipeline.orchestration.resources import Stores


def started(instance: dg.DagsterInstance, stores: Stores) -> dg.DagsterRun:
    """A run that said that it started, and nothing since."""
    run = instance.create_run_for_job(build_definitions(stores).resolve_job_def(JOB))
    instance.report_engine_event("It begins.", run)
    event = dg.DagsterEvent(event_type_value="PIPELINE_START", job_name=JOB)
    instance.report_dagster_event(event, run.run_id)
    return run


def test_a_run_is_dead_without_events_and_connection(
    instance: dg.DagsterInstance, stores: Stores, database: Database
) -> None:
    runs = [started(instance, stores) for _ in range(3)]
    silent, working = (run.run_id for run in runs[1:])
    instance.report_run_canceled(runs[0])
    assert dead_runs.dead_runs(instance, database) == []
    with stores.installation_of_run(working) as used, psycopg.connect(used.database.conninfo):
        found = dead_runs.dead_runs(instance, database, dt.timedelta(0))
        assert [run.run_id for run in found] == [silent]
    found = dead_runs.dead_runs(instance, database, dt.timedelta(0))
    assert {run.run_id for run in found} == {silent, working}


def test_the_sensor_ends_them(
    instance: dg.DagsterInstance, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(instance, stores)
    context = dg.build_sensor_context(
        instance, definitions=build_definitions(stores), resources={"stores": stores}
    )
    with context:
        assert dead_runs.fail_dead_runs.evaluate_tick(context).skip_message == "All runs are alive."
        monkeypatch.setattr(dead_runs.dead_runs, "__defaults__", (dt.timedelta(0),))
        assert "1 runs were marked" in str(dead_runs.fail_dead_runs.evaluate_tick(context).skip_message)
    found = instance.get_run_by_id(run.run_id)
    assert found
    assert found.status == dg.DagsterRunStatus.FAILURE
