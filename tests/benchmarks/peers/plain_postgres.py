"""Plain Postgres: a materialized view by prompt, scene and day, and one of totals made of it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.benchmarks.peers.measures import SCENE_DAY, TOTALS
from tests.benchmarks.peers.worker import Place, Seconds, Step, serve

MADE = f"""
CREATE SCHEMA plain_postgres;
CREATE MATERIALIZED VIEW plain_postgres.prompt_scene_day AS
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, prompt_id, scene, {SCENE_DAY}
FROM prompt_usage GROUP BY 1, 2, 3;
CREATE MATERIALIZED VIEW plain_postgres.prompt_totals AS
SELECT prompt_id, {TOTALS} FROM plain_postgres.prompt_scene_day GROUP BY prompt_id;
"""
RENEWED = """
REFRESH MATERIALIZED VIEW plain_postgres.prompt_scene_day;
REFRESH MATERIALIZED VIEW plain_postgres.prompt_totals;
"""


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    def do(step: Step) -> Seconds:
        if step.name == "export":
            return None
        with psycopg.connect(place.url, autocommit=True) as connection:
            for statement in (MADE if step.name == "build" else RENEWED).split(";"):
                if statement.strip():
                    connection.execute(statement)
        return None

    return do


if __name__ == "__main__":
    serve(_prepare)
