"""SQLMesh on DuckDB: a model that is incremental by time range, and totals that are made of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sqlmesh import Context

from tests.benchmarks.peers.worker import Place, Seconds, Step, serve

PROJECT = Path(__file__).with_name("sqlmesh_project")
MODEL = "peers.prompt_scene_day"


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    os.environ |= {
        "PEERS_FOLDER": place.folder,
        "PEERS_EVENTS": place.events,
        "PEERS_FIRST_DAY": place.first_day,
        "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    }
    context = Context(paths=[str(PROJECT)])

    def do(step: Step) -> Seconds:
        if step.name == "export":
            # Its file is open in this process already, and DuckDB opens it twice only alike.
            for table in ("scene_day", "totals"):
                file = f"{place.folder}/prompt_{table}.parquet"
                context.engine_adapter.execute(f"COPY peers.prompt_{table} TO '{file}' (FORMAT parquet)")
        elif step.name == "build":
            context.plan("prod", auto_apply=True, no_prompts=True)
            # A plan leaves the unfinished day out.
            context.run("prod", ignore_cron=True)
        elif step.name == "backfill":
            context.plan(
                "prod",
                restate_models=[MODEL],
                start=step.first,
                end=step.last,
                auto_apply=True,
                no_prompts=True,
            )
        else:
            context.run("prod", ignore_cron=True)
        return None

    return do


if __name__ == "__main__":
    serve(_prepare)
