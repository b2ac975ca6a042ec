"""dbt: an incremental model by prompt, scene and day, and a table of totals made of it.

The arguments are the target of ``dbt_project`` and how its models are incremental.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from dbt.cli.main import dbtRunner

from tests.benchmarks.peers.worker import Place, Seconds, Step, serve

PROJECT = Path(__file__).with_name("dbt_project")
TARGET, MODEL = sys.argv[1:]


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    os.environ |= {
        "PEERS_FOLDER": place.folder,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_TARGET_PATH": f"{place.folder}/target",
        "DBT_LOG_PATH": f"{place.folder}/logs",
    }

    if TARGET == "postgres":
        from psycopg2.extensions import parse_dsn

        named = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "DATABASE"}
        os.environ |= {
            f"PEERS_{named[key]}": value for key, value in parse_dsn(place.url).items() if key in named
        }

    def run(step: Step) -> Seconds:
        if step.name == "export":
            if TARGET == "duckdb":
                _export(place)
            return None
        values = {"events": place.events, "begin": place.first_day}
        period = []
        if step.name == "backfill" and MODEL == "microbatch":
            end = dt.date.fromisoformat(step.last) + dt.timedelta(days=1)
            period = ["--event-time-start", step.first, "--event-time-end", end.isoformat()]
        elif step.name == "backfill":
            values |= {"first": step.first, "last": step.last}
        start = time.perf_counter()
        done = dbtRunner().invoke(
            [
                "run",
                *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
                *("--target", TARGET, "--select", f"+{MODEL}_totals"),
                *("--vars", json.dumps(values), *period),
            ]
        )
        if not done.success:
            said = done.exception or [each.message for each in done.result.results]
            raise RuntimeError(f"dbt {step.name}: {said}")
        return {"startup": time.perf_counter() - start - done.result.elapsed_time}

    return run


def _export(place: Place) -> None:
    with duckdb.connect(f"{place.folder}/dbt.duckdb") as connection:
        for table in ("scene_day", "totals"):
            connection.sql(f"FROM {MODEL}_{table}").write_parquet(f"{place.folder}/prompt_{table}.parquet")


if __name__ == "__main__":
    serve(_prepare)
