"""The API finds again all that it took."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from urllib.parse import quote

import psycopg

from pipeline import limits
from pipeline.dashboard.report import write_report
from pipeline.database import Database
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.api import served
from tests.conftest import FIRST_DAY


def event(**values: object) -> dict[str, object]:
    return {"eventId": str(uuid.uuid4()), "promptId": str(uuid.UUID(int=1)), **values}


def test_what_was_taken_is_found_again(database: Database, lake: str, tmp_path: Path) -> None:
    letters = random.Random(1)  # noqa: S311  # a test's
    # Of a prompt, Postgres indexes less.
    scene, category, slug = (
        "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789 %&?#", k=length))
        for length in (limits.TEXT_MAX_LENGTH, 2_000, 2_000)
    )
    with psycopg.connect(database.conninfo) as app:
        app.execute(
            "INSERT INTO prompts (id, slug, name, category, template) VALUES (%s, %s, 'n', %s, '')",
            (uuid.UUID(int=1), slug, category),
        )
    with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
        given = event(
            promptId=slug, scene=scene, environment=scene, outfit=scene, errorMessage=scene, success=False
        )
        assert client.post("/events", json=given).json()["taken"] == 1
        refresh(database, lake, FIRST_DAY, values=True)
        for parameters in ({"scene": scene}, {"category": category}):
            found = client.get("/prompts/top/usage", params=parameters).json()["prompts"]
            assert [prompt["usageCount"] for prompt in found] == [1]
        assert client.get(f"/prompts/{quote(slug)}").json()["prompt"]["slug"] == slug
        for path, name in (("/prompts/compare", "totalUsage"), ("/prompts/sparklines", "usageCounts")):
            found = client.get(path, params={"ids": slug}).json()["prompts"][0][name]
            assert found in (1, [0] * 29 + [1])
    settings = Settings.model_validate({"PROMPT_STATS_LAKE_URI": lake})
    report = write_report(settings, database, tmp_path / "report.html")
    assert report.usage_count == 1
    assert scene[:1_000] in report.file.read_text().replace("\\u003c", "<")


def test_as_many_favourites_are_read_as_are_put_in_order(database: Database) -> None:
    with served(database) as client:
        assert client.get(
            f"/users/{uuid.UUID(int=1)}/prompts", params={"limit": limits.FAVORITES_MAX}
        ).is_success
