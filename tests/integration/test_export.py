"""``export`` and ``GET /export/{table}``: the file is the table, whole and of one moment."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from pipeline.answers.export import BATCHES, MEDIA_TYPES, PROMPT_NAME, Format, open_export
from pipeline.database import tables
from pipeline.database.connections import Database
from pipeline.errors import DatabaseError, NotFoundError
from pipeline.refresh import refresh
from pipeline.web.api import export as api_export
from tests.api import served
from tests.app import at
from tests.command import environment, prompt_stats
from tests.conftest import NewDatabase

PROMPTS = [uuid.UUID(int=number) for number in range(1, 4)]
USERS = [uuid.UUID(int=number) for number in range(1001, 1004)]
TEXTS = [
    None,
    "",
    " ",
    "café 🎨",
    'a "quote"',
    "a, comma",
    "two\nlines",
    "a\r\nb",
    "\\N",
    "\\",
    "NULL",
    "null",
    "1",
]

ORDERS = {
    "prompts": "id",
    "prompt_stats": "prompt_id",
    "prompt_scene_stats": "prompt_id, scene",
    "prompt_environment_stats": "prompt_id, environment",
    "prompt_outfit_stats": "prompt_id, outfit",
    "scene_stats": "scene",
    "environment_stats": "environment",
    "outfit_stats": "outfit",
    "prompt_daily_stats": "day, prompt_id",
    "prompt_error_stats": "prompt_id, error_kind",
    "prompt_value_stats": "prompt_id, dimension, value",
    "prompt_value_error_stats": "prompt_id, dimension, value, error_kind",
    "user_prompt_stats": "user_id, prompt_id",
    "stats_refresh": "id",
}
"""All that can be exported, and the order of its rows."""

BIG_ROWS = 60
BIG_TEXT = 2**20
EXPORTING = "SELECT pid FROM pg_stat_activity WHERE application_name = 'prompt-stats-export'"
LONG_ENOUGH = 10.0

READ_BACK: dict[Format, Callable[[bytes], list[dict[str, Any]]]] = {
    Format.PARQUET: lambda content: pl.read_parquet(io.BytesIO(content)).to_dicts(),
    Format.CSV: lambda content: pl.read_csv(io.BytesIO(content), infer_schema=False).to_dicts(),
    Format.JSON: json.loads,
}


@pytest.fixture(scope="module")
def stats(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with stats of texts that are hard to write down; tests only read it."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(
                "INSERT INTO prompts (id, slug, name, template, description, tags, deleted_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [
                    (PROMPTS[0], "portrait", 'A "portrait"', "{{who}},\nsmiling", "", '["a", "ü"]', None),
                    (PROMPTS[1], None, "", "", None, None, "infinity"),
                    (PROMPTS[2], "street", "Straße", "\\N", None, '{"deep": [1, null]}', "2026-01-31"),
                ],
            )
            app.cursor().executemany(
                "INSERT INTO prompt_usage (prompt_id, user_id, scene, environment, outfit, success,"
                " generation_time_ms, error_message, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        prompt,
                        user,
                        scene,
                        TEXTS[-number],
                        scene,
                        success,
                        1000 * number + 7,
                        scene,
                        created_at,
                    )
                    for number, scene in enumerate(TEXTS)
                    for prompt, user, success in zip(PROMPTS, USERS, (True, False, None), strict=True)
                    for created_at in (dt.datetime(2026, 1, 1 + number, 1, 2, 3, number, dt.UTC),)
                ],
            )
        lake = str(tmp_path_factory.mktemp("lake"))
        refresh(at(database, lake), values=True)
        refresh(at(database, lake), values=True)
        yield database


@pytest.fixture(scope="module")
def client(stats: Database) -> Iterator[httpx.Client]:
    """The API on that database."""
    with served(stats) as client:
        yield client


@pytest.fixture(scope="module")
def big(new_database: NewDatabase, migrated_template: str) -> Iterator[Database]:
    """A database whose prompts no pipe, socket or batch holds at once."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(
                "INSERT INTO prompts (name, template)"
                " SELECT n, repeat('x', %s) FROM generate_series(1, %s) AS n",
                (BIG_TEXT, BIG_ROWS),
            )
        yield database


def exported(database: Database, table: str, kind: Format) -> bytes:
    """The whole file."""
    with open_export(database, table, kind) as export:
        return b"".join(chunk.content for chunk in export.chunks)


def rows_of(database: Database, table: str) -> list[dict[str, Any]]:
    """The table, with values as the formats have them: no infinity, ids as text."""
    with psycopg.connect(database.conninfo, row_factory=dict_row) as reader:
        reader.execute("SET TimeZone = 'UTC'")
        finite = [
            f"CASE WHEN isfinite({column.name}) THEN {column.name} END AS {column.name}"
            if column.name == "deleted_at"
            else f"{column.name}::text AS {column.name}"
            if isinstance(column.type, UUID_TYPE)
            else column.name
            for column in tables.told(tables.metadata.tables[table])
        ]
        if "prompt_id" in tables.metadata.tables[table].c:
            finite.append(f"(SELECT name FROM prompts WHERE id = {table}.prompt_id) AS prompt_name")
        statement = f"SELECT {', '.join(finite)} FROM {table} ORDER BY {ORDERS[table]}"
        return reader.execute(statement.encode()).fetchall()


def valued(table: str, kind: Format, content: bytes) -> list[dict[str, Any]]:
    """The rows of a file, its texts read as what the columns are."""

    def value(name: str, given: Any) -> Any:
        if name == PROMPT_NAME:
            return given
        column = tables.metadata.tables[table].c[name]
        if given is None or isinstance(column.type, UUID_TYPE):
            return given
        if isinstance(column.type, JSONB):
            return given if kind is Format.JSON else json.loads(given)
        wanted = column.type.python_type
        if not isinstance(given, str) or wanted is str:
            return given
        if issubclass(wanted, dt.date):
            return wanted.fromisoformat(given)
        return {"true": True, "false": False}[given] if wanted is bool else wanted(given)

    return [{name: value(name, given) for name, given in row.items()} for row in READ_BACK[kind](content)]


def waited_for(what: Callable[[], Any]) -> Any:
    """The first true answer; it has to come in time."""
    deadline = time.monotonic() + LONG_ENOUGH
    while not (answer := what()):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return answer


def exporting(database: Database) -> list[int]:
    """The connections that export from this database."""
    with psycopg.connect(database.conninfo) as operator:
        return [pid for (pid,) in operator.execute(f"{EXPORTING} AND datname = current_database()".encode())]


@pytest.mark.parametrize("kind", Format)
@pytest.mark.parametrize("table", ORDERS)
def test_a_file_reads_back_as_the_table(stats: Database, table: str, kind: Format) -> None:
    rows = rows_of(stats, table)
    assert rows
    found = valued(table, kind, exported(stats, table, kind))
    assert found == rows
    assert [*found[0]] == [*rows[0]]


def test_the_texts_that_were_tracked_are_each_a_group_in_every_format(stats: Database) -> None:
    for kind in Format:
        found = [row["scene"] for row in valued("scene_stats", kind, exported(stats, "scene_stats", kind))]
        assert sorted(found, key=str) == sorted(TEXTS, key=str)


def test_a_csv_file_goes_back_into_the_table_by_copy(stats: Database) -> None:
    for table in ORDERS:
        content = exported(stats, table, Format.CSV)
        with psycopg.connect(stats.conninfo) as app:
            columns = content.partition(b"\n")[0].decode()
            given = columns.removesuffix(f",{PROMPT_NAME}")
            app.execute(f"CREATE TEMPORARY TABLE back AS SELECT {given} FROM {table} LIMIT 0".encode())
            if given != columns:
                app.execute("ALTER TABLE back ADD COLUMN prompt_name text")
            with app.cursor().copy("COPY back FROM STDIN (FORMAT csv, HEADER)") as copy:
                copy.write(content)
            if table == "prompts":
                app.execute("UPDATE back SET deleted_at = 'infinity' WHERE name = ''")
            app.execute("ALTER TABLE back DROP COLUMN IF EXISTS prompt_name")
            of_table = f"SELECT {given} FROM {table}"
            differing = f"({of_table} EXCEPT TABLE back) UNION ALL (TABLE back EXCEPT {of_table})"
            assert app.execute(differing.encode()).fetchall() == []


def test_duckdb_reads_what_was_written(stats: Database, tmp_path: Path) -> None:
    counts = {row["scene"]: row["usage_count"] for row in rows_of(stats, "scene_stats")}
    for kind in Format:
        file = tmp_path / f"scenes.{kind}"
        file.write_bytes(exported(stats, "scene_stats", kind))
        read = f"read_csv('{file}', allow_quoted_nulls = false)" if kind is Format.CSV else f"'{file}'"
        found = duckdb.execute(f"SELECT scene, usage_count FROM {read}")
        assert dict(found.fetchall()) == counts


def test_parquet_keeps_types_and_says_as_of_when(stats: Database) -> None:
    content = io.BytesIO(exported(stats, "user_prompt_stats", Format.PARQUET))
    schema = pl.read_parquet_schema(content)
    ids = dict.fromkeys(("user_id", "prompt_id"), pl.String())
    counts = dict.fromkeys(("usage_count", "success_count", "failure_count"), pl.Int64())
    means = dict.fromkeys(("success_rate", "avg_generation_time_ms"), pl.Float64())
    times = {"last_used_at": pl.Datetime("us", "UTC")}
    others = {"is_favorite": pl.Boolean(), "prompt_name": pl.String()}
    assert dict(schema) == {**ids, **counts, **means, **times, **others}
    about = pl.read_parquet_metadata(content)
    assert about["table"] == "user_prompt_stats"
    assert (
        dt.datetime.fromisoformat(about["as_of"]) == rows_of(stats, "stats_refresh")[-1]["user_stats_as_of"]
    )


def test_doubles_have_all_their_digits_whatever_the_databases_default_is(database: Database) -> None:
    doubles = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 1e-7, 123456789.123456789]
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        name = app.info.dbname
        app.execute(f'ALTER DATABASE "{name}" SET extra_float_digits = 0'.encode())
        for number, double in enumerate(doubles):
            app.execute(
                "INSERT INTO scene_stats (scene, usage_count, success_count, failure_count, success_rate)"
                " VALUES (%s, 9223372036854775807, 0, 0, %s)",
                (str(number), double),
            )
    for kind in Format:
        found = valued("scene_stats", kind, exported(database, "scene_stats", kind))
        assert [row["success_rate"] for row in found] == doubles
        assert {row["usage_count"] for row in found} == {2**63 - 1}


def test_an_empty_table_is_a_file_without_rows(database: Database) -> None:
    for kind in Format:
        with open_export(database, "prompt_scene_stats", kind) as export:
            assert (export.as_of, export.lag_seconds, export.row_count) == (None, None, 0)
            content = b"".join(chunk.content for chunk in export.chunks)
        assert READ_BACK[kind](content) == []
        if kind is Format.CSV:
            assert content.decode().split(",")[:2] == ["prompt_id", "scene"]


@pytest.mark.parametrize("kind", Format)
def test_a_publish_in_the_middle_changes_nothing(database: Database, lake: str, kind: Format) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        for _ in range(2):
            app.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (PROMPTS[0],))
            refresh(at(database, lake))
        before = rows_of(database, "prompt_stats")
        with open_export(database, "prompt_stats", kind) as export:
            app.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (PROMPTS[0],))
            refresh(at(database, lake))
            content = b"".join(chunk.content for chunk in export.chunks)
    assert valued("prompt_stats", kind, content) == before
    assert export.as_of == before[0]["stats_as_of"]
    assert rows_of(database, "prompt_stats")[0]["usage_count"] == 3


def test_stats_of_users_say_their_own_as_of(database: Database, lake: str) -> None:
    with open_export(database, "user_prompt_stats", Format.CSV) as export:
        assert export.as_of is None
    with psycopg.connect(database.conninfo, autocommit=True) as app:
        for number in range(2):
            app.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (PROMPTS[number],))
            refresh(at(database, lake), values=True)
        app.execute(
            "UPDATE stats_refresh SET user_stats_as_of = as_of - interval '1 hour',"
            " value_stats_as_of = as_of - interval '1 day'"
        )
    latest = rows_of(database, "stats_refresh")[-1]
    for table, as_of, lag in (
        ("prompt_stats", latest["as_of"], 0),
        ("user_prompt_stats", latest["user_stats_as_of"], 3600),
        ("prompt_value_stats", latest["value_stats_as_of"], 86_400),
    ):
        with open_export(database, table, Format.CSV) as export:
            assert export.as_of == as_of
            assert export.lag_seconds == pytest.approx(lag, abs=60)


@pytest.mark.parametrize("kind", Format)
def test_no_more_than_a_batch_is_in_memory(big: Database, kind: Format) -> None:
    with open_export(big, "prompts", kind) as export:
        chunks = [(len(chunk.content), chunk.rows) for chunk in export.chunks]
    batch_rows = -(-max(BATCHES.values()) // BIG_TEXT)
    assert sum(rows for _, rows in chunks) == BIG_ROWS
    assert max(rows for _, rows in chunks) <= batch_rows
    assert max(size for size, _ in chunks) <= (batch_rows + 1) * BIG_TEXT


def test_what_the_database_does_not_finish_is_an_error(big: Database) -> None:
    for stop in ("pg_cancel_backend", "pg_terminate_backend"):
        with open_export(big, "prompts", Format.CSV) as export, psycopg.connect(big.conninfo) as operator:
            for _ in range(2):
                next(export.chunks)
            operator.execute(f"SELECT {stop}(pid) FROM ({EXPORTING}) AS exporting".encode())
            with pytest.raises(DatabaseError, match="Exporting the table prompts"):
                list(export.chunks)
    assert waited_for(lambda: not exporting(big))


def test_an_unknown_table_is_answered_with_those_that_there_are(stats: Database, tmp_path: Path) -> None:
    for name in ("prompt_usage", "nobodys", "prompts; DROP TABLE prompts"):
        with (
            pytest.raises(NotFoundError, match=", ".join(ORDERS)),
            open_export(stats, name, Format.CSV),
        ):
            pass
    done = prompt_stats(tmp_path, "export", "nobodys", DATABASE_URL=stats.conninfo)
    assert (done.returncode, done.stdout) == (1, "")
    assert "user_prompt_stats" in done.stderr


# The command.


@pytest.mark.parametrize("kind", Format)
def test_the_command_writes_the_file(stats: Database, tmp_path: Path, kind: Format) -> None:
    file = tmp_path / f"scenes.{kind}"
    file.write_text("what was there before")
    file.chmod(0o600)
    done = prompt_stats(tmp_path, "export", "scene_stats", "--output", str(file), DATABASE_URL=stats.conninfo)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"{len(TEXTS)} rows of scene_stats, as of 20")
    assert valued("scene_stats", kind, file.read_bytes()) == rows_of(stats, "scene_stats")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("kind", Format)
def test_the_command_writes_to_standard_output(stats: Database, tmp_path: Path, kind: Format) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "export", "prompts", "--format", kind],
        env=environment(tmp_path, DATABASE_URL=stats.conninfo),
        capture_output=True,
        check=True,
    )
    assert valued("prompts", kind, done.stdout) == rows_of(stats, "prompts")


def test_a_link_is_followed_and_a_device_stays_one(stats: Database, tmp_path: Path) -> None:
    there, link = tmp_path / "there.csv", tmp_path / "link.csv"
    link.symlink_to(there)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    # Open on both sides, so that neither waits for the other.
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    for output in (link, pipe):
        done = prompt_stats(tmp_path, "export", "scene_stats", "-o", str(output), DATABASE_URL=stats.conninfo)
        assert done.returncode == 0, done.stderr
    wanted = exported(stats, "scene_stats", Format.CSV)
    assert os.read(reader, 2 * len(wanted)) == there.read_bytes() == wanted
    os.close(reader)
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_parquet_is_not_for_the_terminal(stats: Database, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    for kind, code, said in (("parquet", 1, "Name a file with --output"), ("csv", 0, "rows of scene_stats")):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "export", "scene_stats", "--format", kind],
            env=environment(tmp_path, DATABASE_URL=stats.conninfo),
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert said in done.stderr
    os.close(theirs)
    assert os.read(ours, 4096).startswith(b"scene,usage_count,")
    os.close(ours)


@pytest.mark.parametrize("kind", Format)
def test_a_reader_that_has_enough_is_no_error(big: Database, tmp_path: Path, kind: Format) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "export", "prompts", "--format", kind],
        env=environment(tmp_path, DATABASE_URL=big.conninfo),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
    assert waited_for(lambda: not exporting(big))


@pytest.mark.parametrize("end", ["kill", "outage"])
def test_no_half_file_is_left(big: Database, tmp_path: Path, end: str) -> None:
    file = tmp_path / "prompts.json"
    file.write_text("what was there before")
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "export", "prompts", "--output", str(file)],
        env=environment(tmp_path, DATABASE_URL=big.conninfo),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        waited_for(lambda: [*tmp_path.glob(".*.part")])
        if end == "kill":
            process.send_signal(signal.SIGKILL)
        else:
            with psycopg.connect(big.conninfo) as operator:
                operator.execute(f"SELECT pg_terminate_backend(pid) FROM ({EXPORTING}) AS exporting".encode())
        assert process.stderr
        said = process.stderr.read()
    assert file.read_text() == "what was there before"
    if end == "outage":
        assert process.returncode == 1
        assert said.startswith("Exporting the table prompts: ")
        assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("output", [".", "nowhere/prompts.csv", "/dev/full"])
def test_what_can_not_be_written_is_said(stats: Database, tmp_path: Path, output: str) -> None:
    done = prompt_stats(
        tmp_path, "export", "prompts", "--output", str(tmp_path / output), DATABASE_URL=stats.conninfo
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Writing {tmp_path / output}: ")
    assert [*tmp_path.iterdir()] == []


# Over HTTP.


@pytest.mark.parametrize("kind", Format)
def test_a_file_over_http(client: httpx.Client, stats: Database, kind: Format) -> None:
    for table in ("prompt_scene_stats", "user_prompt_stats", "prompts"):
        answer = client.get(f"/export/{table}", params={"format": kind})
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[kind]
        assert answer.headers["content-disposition"] == f'attachment; filename="{table}.{kind}"'
        as_of = rows_of(stats, "stats_refresh")[-1]["as_of"]
        assert dt.datetime.fromisoformat(answer.headers["stats-as-of"]) == as_of
        assert 0 < float(answer.headers["stats-lag-seconds"]) < 600
        assert valued(table, kind, answer.content) == rows_of(stats, table)
    assert client.get("/export/prompts").headers["content-type"].startswith("text/csv")


def test_before_the_first_refresh_there_is_nothing_to_date(database: Database) -> None:
    with served(database) as client:
        answer = client.get("/export/scene_stats", params={"format": "json"})
        assert (answer.status_code, answer.json()) == (200, [])
        assert "stats-as-of" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/export/nobodys", 404, "user_prompt_stats"),
        ("/export/prompt_usage", 404, "user_prompt_stats"),
        ("/export/prompts?format=xlsx", 422, "parquet"),
        ("/export/prompts?kind=csv", 422, "there are: days, format"),
    ],
)
def test_what_can_not_be_exported_is_said(client: httpx.Client, path: str, status: int, named: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


def test_only_a_token_that_may_read_exports(stats: Database) -> None:
    with served(stats, PROMPT_STATS_API_TOKEN="read:reader,write:writer") as client:  # noqa: S106  # a test's
        for token, status in (("reader", 200), ("writer", 403), ("nobody", 401)):
            answer = client.get("/export/prompts", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status
        assert client.get("/export/prompts").status_code == 401


def test_clients_that_leave_take_their_connection_with_them(big: Database) -> None:
    with served(big) as client:
        begun = [
            client.send(client.build_request("GET", "/export/prompts"), stream=True)
            for _ in range(api_export.AT_ONCE)
        ]
        pieces = [answer.iter_raw() for answer in begun]
        for each in pieces:
            next(each)
        assert len(exporting(big)) == api_export.AT_ONCE
        refused = client.get("/export/prompts")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        for answer in begun:
            answer.close()
        assert waited_for(lambda: not exporting(big))
        assert client.get("/export/prompts").status_code == 200


def test_a_client_that_takes_nothing_is_left(big: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_export, "STALLED_SECONDS", 0.5)
    with served(big) as client, client.stream("GET", "/export/prompts") as answer:
        pieces = answer.iter_raw()
        next(pieces)
        assert waited_for(lambda: not exporting(big))
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_an_outage_in_the_middle_is_no_whole_answer(big: Database) -> None:
    with served(big) as client, client.stream("GET", "/export/prompts?format=json") as answer:
        pieces = answer.iter_raw()
        next(pieces)
        with psycopg.connect(big.conninfo) as operator:
            operator.execute(f"SELECT pg_terminate_backend(pid) FROM ({EXPORTING}) AS exporting".encode())
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
