"""ClickHouse in process (chdb): both tables anew from all files, every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chdb.session import Session

from tests.benchmarks.peers.measures import SCENE_DAY, TOTALS
from tests.benchmarks.peers.worker import Place, Seconds, Step, serve

# Nulls of the files stay nulls, and a double has two words in Postgres only.
SCENE_DAY_TABLE = f"""
SELECT CAST(day AS Date32) AS day, prompt_id, scene, {SCENE_DAY}
FROM file('{{events}}/day=*/events.parquet', Parquet)
GROUP BY day, prompt_id, scene
INTO OUTFILE '{{folder}}/prompt_scene_day.parquet' TRUNCATE FORMAT Parquet
SETTINGS use_hive_partitioning = 1, output_format_parquet_compression_method = 'zstd'
"""
TOTALS_TABLE = f"""
SELECT prompt_id, {TOTALS.replace("DOUBLE PRECISION", "Float64")}
FROM file('{{folder}}/prompt_scene_day.parquet', Parquet)
GROUP BY prompt_id
INTO OUTFILE '{{folder}}/prompt_totals.parquet' TRUNCATE FORMAT Parquet
"""


def _prepare(place: Place) -> Callable[[Step], Seconds]:
    session = Session(str(Path(place.folder) / "session"))

    def do(step: Step) -> Seconds:
        if step.name != "export":
            for statement in (SCENE_DAY_TABLE, TOTALS_TABLE):
                session.query(statement.format(events=place.events, folder=place.folder))
        return None

    return do


if __name__ == "__main__":
    serve(_prepare)
