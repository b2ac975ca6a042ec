"""The snippets of docs/write-path.md for other languages, run as they stand there against a real Postgres."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.database.connections import Database
from pipeline.database.tables import prompt_usage
from pipeline.refresh import refresh
from tests.app import at
from tests.command import REPOSITORY
from tests.psql import libpq_environment, psql

DOCUMENT = (REPOSITORY / "docs" / "write-path.md").read_text(encoding="utf-8")
PACKAGES = REPOSITORY / "tests" / "node"


def snippets(heading: str) -> list[str]:
    """The fenced blocks of a section, byte for byte."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


# All there are: one more, and it has to be run here too.
TABLE, NEW_ID, DRIZZLE, DRIZZLE_BY_SLUG = snippets("TypeScript with Drizzle")
(NODE_POSTGRES,) = snippets("TypeScript with node-postgres")
(PSQL,) = snippets("psql")

PROMPT_ID = uuid.UUID("0198c2a6-0000-7000-8000-000000000001")
POST_ID = uuid.uuid4()
SLUG = "portrait-selfie-casual"

APP = """
import { getTableColumns } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { Pool } from 'pg';

const pool = new Pool();
const db = drizzle(pool);
const post = JSON.parse(process.argv[2]);
const promptId = post.promptId;
const success = false, message = 'out of memory', errorMessage = message;
const elapsedMs = 5000, startTime = 1000, Date = { now: () => 6000 };
"""
END = """
await pool.end();
console.log(JSON.stringify(answer));
"""

Node = Callable[..., Any]
POSTS: dict[str, dict[str, str]] = {
    "whole": {
        "user_id": str(uuid.uuid4()),
        "character_id": str(uuid.uuid4()),
        "job_id": str(uuid.uuid4()),
        "scene": "'candid' \\ $1",
        "environment": "",
        "outfit": "jeans 👖",
    },
    "bare": {},
}


@pytest.fixture
def database(database: Database) -> Database:
    """A migrated database with one prompt."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(
            "INSERT INTO prompts (id, slug, name, template) VALUES (%s, %s, 'Selfie', '')", [PROMPT_ID, SLUG]
        )
    return database


@pytest.fixture(params=POSTS)
def context(request: pytest.FixtureRequest) -> dict[str, str]:
    """What an event has from its post besides the ids of both: everything, or nothing."""
    return POSTS[request.param]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages that the snippets import, as they are locked."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("runs TypeScript snippets, which takes node and npm")
    folder = shutil.copytree(PACKAGES, tmp_path_factory.mktemp("node") / "packages")
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder)
    return folder


@pytest.fixture
def node(packages: Path, database: Database) -> Node:
    """Runs snippets as the module of an app that has a post; what it calls ``answer`` is returned."""

    def run_module(*parts: str, **context: str) -> Any:
        module = packages / "app.mjs"
        module.write_text("\n".join([APP, *parts, END]), encoding="utf-8")
        post = {re.sub(r"_(.)", lambda found: found[1].upper(), name): text for name, text in context.items()}
        post |= {"id": str(POST_ID), "promptId": str(PROMPT_ID)}
        return json.loads(run(["node", module, json.dumps(post)], env=libpq_environment(database)))

    return run_module


def run(command: list[str | Path], **options: Any) -> str:
    """What a program prints that has to succeed."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False, **options)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def repeated(snippet: str) -> str:
    return f"for (const attempt of [1, 2]) {{\n{snippet}}}"


def the_event(database: Database) -> dict[str, Any]:
    """What the one row of prompt_usage holds, besides what Postgres has to fill by default."""
    with psycopg.connect(database.conninfo, row_factory=dict_row) as connection:
        (row,) = connection.execute("SELECT *, xmin::text::bigint AS xmin FROM prompt_usage").fetchall()
    assert row.pop("ingest_xid") == row.pop("xmin")
    assert dt.timedelta() <= dt.datetime.now(dt.UTC) - row.pop("created_at") < dt.timedelta(minutes=1)
    return {name: str(value) for name, value in row.items() if value is not None}


def test_the_packages_are_locked_with_hashes_and_name_no_host() -> None:
    """The addresses that npm writes below ``funding`` have to be taken out again."""
    text = (PACKAGES / "package-lock.json").read_text(encoding="utf-8")
    _, *locked = json.loads(text)["packages"].values()

    assert "://" not in text
    assert all(package["integrity"].startswith("sha512-") for package in locked)


def test_the_drizzle_table_is_that_of_the_pipeline(node: Node, database: Database) -> None:
    described = node(
        TABLE,
        "const columns = Object.values(getTableColumns(promptUsage));",
        "const answer = columns.map((c) => [c.name, c.getSQLType(), c.notNull, c.hasDefault]);",
    )
    dialect = database.engine.dialect
    assert described == [
        [c.name, c.type.compile(dialect).lower(), not c.nullable, c.server_default is not None]
        for c in prompt_usage.columns
    ]


@pytest.mark.parametrize(
    ("snippet", "outcome"),
    [
        (DRIZZLE, {"success": "True"}),
        (NODE_POSTGRES, {"success": "False", "error_message": "out of memory"}),
    ],
    ids=["Drizzle", "node-postgres"],
)
def test_an_insert_is_one_row_with_the_values_given_however_often_it_runs(
    node: Node, database: Database, snippet: str, outcome: dict[str, str], context: dict[str, str]
) -> None:
    event_id = node(TABLE, NEW_ID, repeated(snippet), "const answer = eventId;", **context)
    assert uuid.UUID(event_id).version == 7
    assert the_event(database) == {
        "id": event_id,
        "prompt_id": str(PROMPT_ID),
        "post_id": str(POST_ID),
        "generation_time_ms": "5000",
        **context,
        **outcome,
    }


def test_an_insert_by_slug_is_the_same_and_tells_whether_the_prompt_is_known(
    node: Node, database: Database, context: dict[str, str]
) -> None:
    slugs = [SLUG, SLUG, "unknown"]
    attempts = f"for (const slug of {slugs}) {{\n{DRIZZLE_BY_SLUG}answer.push(rows);}}"
    event_id, *answers = node(TABLE, NEW_ID, "const answer = [eventId];", attempts, **context)
    assert answers == [[{"is_known": True}], [{"is_known": True}], [{"is_known": False}]]
    assert the_event(database) == {
        "id": event_id,
        "prompt_id": str(PROMPT_ID),
        "post_id": str(POST_ID),
        "success": "False",
        "generation_time_ms": "5000",
        "error_message": "out of memory",
        **{name: text for name, text in context.items() if name in {"user_id", "scene"}},
    }


def test_an_insert_by_psql_is_one_row_and_counts_once_however_often_it_runs(
    database: Database, lake: str
) -> None:
    # \g runs the last statement again.
    said = psql(database, "--set=ON_ERROR_STOP=1", text=f"{PSQL}\\g\n\\echo :event_id\n")
    event = the_event(database)
    assert said.split("\n") == ["INSERT 0 1", "INSERT 0 0", event["id"], ""]
    assert event == {
        "id": event["id"],
        "prompt_id": str(PROMPT_ID),
        "scene": "candid_lifestyle",
        "success": "True",
        "generation_time_ms": "5000",
    }

    refresh(at(database, lake))
    with psycopg.connect(database.conninfo) as connection:
        counted = connection.execute(
            "SELECT prompt_id, usage_count, success_count, avg_generation_time_ms FROM prompt_stats"
        ).fetchall()
    assert counted == [(PROMPT_ID, 1, 1, 5000)]
