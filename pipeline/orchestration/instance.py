"""Prepares Dagster's home, and runs the job in this process."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import fasteners

from pipeline.days import DayRange
from pipeline.errors import LakeError, SettingsError
from pipeline.files import own_folder
from pipeline.orchestration.jobs import JOB, MAX_RUNTIME, UNLIMITED, range_tags, run_config
from pipeline.orchestration.lake_assets import failed_days
from pipeline.orchestration.running import BACKFILL, MANUAL
from pipeline.refresh import raise_failed

DAGSTER_YAML = Path(__file__).with_name("dagster.yaml")
# A run over a range writes events for each of its partitions, which takes longer than the work. For a year,
# these two settings reduce it to a quarter. The price of the second is that a failed run does not show its
# partitions in red. What is stale is read from the data, never from Dagster's storage.
EVENT_SETTINGS = {
    "DAGSTER_EVENT_BATCH_SIZE": "100",
    "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
}

# The run's events are in Dagster's home. The terminal shows only the command's own messages.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def prepare_environment(dagster_home: Path) -> None:
    """Makes this process and its children use ``dagster_home``, and initialises it once.

    Several processes can't create the SQLite files of a new home at the same time, so the first one creates
    them while the others wait.

    :raises SettingsError: the home can't be written, or another user can change what is in it.
    """
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    for name, value in EVENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        own_folder(dagster_home.parent)
        own_folder(dagster_home)
        with fasteners.InterProcessLock(dagster_home / "initialise.lock"):
            configuration = dagster_home / "dagster.yaml"
            if not configuration.exists():
                configuration.write_text(DAGSTER_YAML.read_text())
            initialised = dagster_home / "initialised"
            if not initialised.exists():
                with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
                    instance.get_runs(limit=1)
                initialised.touch()
    except OSError as error:
        raise SettingsError(
            f"Using Dagster's home {dagster_home}",
            f"it can't be written ({error.strerror})",
            "Set PROMPT_STATS_HOME to a folder that you may write",
        ) from error


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of the prepared environment."""
    with dg.DagsterInstance.get() as instance:
        yield instance


def run_refresh(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    days: DayRange,
    *,
    replace: bool,
    max_rows_per_second: int | None = None,
) -> str:
    """Runs ``refresh_stats`` over a range in this process, and returns the run's id.

    Errors of the steps are raised unchanged.

    :raises LakeError: some days could not be processed. The others are published.
    """
    job = definitions.resolve_job_def(JOB)
    run_id = str(uuid.uuid4())
    config = run_config(replace=replace, max_rows_per_second=max_rows_per_second)
    try:
        job.execute_in_process(
            instance=instance,
            run_id=run_id,
            tags={**range_tags(days, BACKFILL if replace else MANUAL), MAX_RUNTIME: UNLIMITED},
            run_config={**config, **QUIET},
        )
    except dg.DagsterExecutionInterruptedError:
        # Otherwise an interrupted program would show Dagster's error with its traceback.
        raise KeyboardInterrupt from None
    except LakeError:
        # The last error may follow from a day that failed before, and does not name the day.
        raise_failed(failed_days(instance, run_id))
        raise
    raise_failed(failed_days(instance, run_id))
    return run_id
