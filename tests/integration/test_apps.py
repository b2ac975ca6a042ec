"""The snippets of docs/apps.md, run as they stand there by the frameworks that they are for."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from pipeline.database.connections import Database
from tests.command import REPOSITORY, environment

DOCUMENT = (REPOSITORY / "docs" / "apps.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```$", DOCUMENT, flags=re.MULTILINE | re.DOTALL))
SLUG = "portrait-selfie-casual"
WAIT_SECONDS = 60

ASK_FASTAPI = """
from fastapi.testclient import TestClient
import app

with TestClient(app.app) as client:
    assert client.post("/images", params={"prompt": "portrait-selfie-casual", "scene": "cafe"}).is_success
"""
ASK_DJANGO = """
import django
from django.conf import settings

settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()

from django.test import RequestFactory
import app

request = RequestFactory().post("/posts", {"prompt": "portrait-selfie-casual", "scene": "cafe"})
assert app.create_post(request).status_code == 200
"""
CELERY_SETTINGS = """
broker_url = "filesystem://"
folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
broker_transport_options = folders
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an app stands."""
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def variables(database: Database, folder: Path) -> dict[str, str]:
    """The environment of an app whose database has one prompt."""
    with psycopg.connect(database.conninfo) as connection:
        connection.execute("INSERT INTO prompts (slug, name, template) VALUES (%s, 'Selfie', '')", [SLUG])
    return environment(folder / "home", DATABASE_URL=database.conninfo)


def scenes_of(database: Database) -> list[str]:
    """The scene of each event of the prompt."""
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute(
            "SELECT scene FROM prompt_usage JOIN prompts ON prompts.id = prompt_id WHERE slug = %s", [SLUG]
        ).fetchall()
    return [scene for (scene,) in rows]


def python(code: str, folder: Path, variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_snippet_is_run_here() -> None:
    assert sorted(SNIPPETS) == ["Celery", "Django", "FastAPI"]


@pytest.mark.parametrize(("framework", "asked"), [("FastAPI", ASK_FASTAPI), ("Django", ASK_DJANGO)])
def test_a_request_is_tracked(
    framework: str, asked: str, database: Database, folder: Path, variables: dict[str, str]
) -> None:
    (folder / "app.py").write_text(SNIPPETS[framework], encoding="utf-8")

    python(asked, folder, variables)

    assert scenes_of(database) == ["cafe"]


def test_a_task_that_runs_twice_is_one_event(
    database: Database, folder: Path, variables: dict[str, str]
) -> None:
    (folder / "app.py").write_text(SNIPPETS["Celery"], encoding="utf-8")
    (folder / "celeryconfig.py").write_text(CELERY_SETTINGS, encoding="utf-8")
    configured = "import app; app.app.config_from_object('celeryconfig'); "
    (folder / "worker.py").write_text(f"{configured}celery = app.app\n", encoding="utf-8")
    ask = "[app.create_image.apply_async(({!r}, 'cafe'), task_id='0198f3c4') for _ in range(2)]"
    python(configured + ask.format(SLUG), folder, variables)

    command = [sys.executable, "-m", "celery", "--app", "worker:celery", "worker", "--concurrency", "1"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO"]
    log = folder / "worker.log"
    with log.open("w") as said:
        worker = subprocess.Popen(command, cwd=folder, env=variables, stdout=said, stderr=said)
    try:
        until = time.monotonic() + WAIT_SECONDS
        while log.read_text().count("succeeded in") < 2:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(WAIT_SECONDS) == 0, log.read_text()
    finally:
        worker.kill()

    assert scenes_of(database) == ["cafe"]
