"""Which prompt an id, a slug or a name means: the same one over HTTP and on the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import psycopg
import pytest

from pipeline.adoption.schema import plan_migration
from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.errors import AmbiguousError, InputError, NotFoundError
from pipeline.refresh import refresh
from pipeline.samples.seeding import seed_prompts
from pipeline.settings import Settings
from pipeline.web.dashboard.report import write_report
from tests.adopted import KINDS, adopted, id_of
from tests.api import served
from tests.app import at
from tests.command import REPOSITORY, environment
from tests.conftest import NewDatabase
from tests.statements import rows_of, run

ODD_SLUGS = (
    "marketing/hero",
    "/",
    "a/stats",
    "v1.2",
    "with space",
    " padded ",
    "100%",
    "50%2F",
    "naïve 日本 👩‍🎨",
    "compare",
    "difference",
    "top",
    "sparklines",
    "used",
    "a,b",
    "a+b",
    "?q=1#f",
    "[x]",
    "back\\slash",
    "‮reversed",
    "x" * 2_000,
)
ROUTES = (
    "",
    "/stats",
    "/scenes",
    "/environments",
    "/outfits",
    "/errors",
    "/errors/scenes",
    "/times",
    "/series",
    "/series?bucket=hour",
    "/scenes/series",
)
LIVING, DELETED, FIRST, SECOND, GONE, BURIED, OTHER = range(1, 8)
FIRST_ODD = 100
ODD_IDS = ("a,b/../%2F?c#é", "")
"""Of an app whose ids are texts. The empty one can't be named in an address."""


class App(NamedTuple):
    """An app's database, refreshed, and the API on it; tests only read, or put back what they changed."""

    kind: str
    lake: str
    database: Database
    client: httpx.Client

    def id(self, number: int) -> str:
        """The id of a prompt, as JSON has it."""
        return str(id_of(self.kind, number))

    def named(self, key: str) -> tuple[str, int]:
        """The id of the prompt that a key names, and how often it was used; over HTTP and by command."""
        answer = self.client.get(f"/prompts/{quote(key, safe='')}/stats")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        shown = reading.prompt(at(self.database, self.lake), key)
        assert (found["promptId"], found["totalUsage"]) == (shown["id"], shown["usage_count"])
        return shown["id"], shown["usage_count"]


@pytest.fixture(scope="module", params=KINDS)
def app(
    request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    """One with ids of each kind. Each prompt was used as often as its number is above the last hundred."""
    kind, lake = request.param, str(tmp_path_factory.mktemp("lake"))
    prompts = [
        (LIVING, "twice", False),
        (DELETED, "twice", True),
        (FIRST, "ambiguous", False),
        (SECOND, "ambiguous", False),
        (GONE, "all gone", True),
        (BURIED, "all gone", True),
        (OTHER, str(id_of(kind, LIVING)), False),
        *((FIRST_ODD + number, slug, False) for number, slug in enumerate(ODD_SLUGS)),
    ]
    with adopted(new_database, kind) as database:
        with psycopg.connect(database.conninfo) as writer:
            for number, slug, is_deleted in prompts:
                writer.execute(
                    "INSERT INTO prompts (id, slug, name, deleted_at)"
                    " VALUES (%s, %s, %s, CASE WHEN %s THEN now() END)",
                    [id_of(kind, number), slug, f"prompt {number}", is_deleted],
                )
                writer.execute(
                    "INSERT INTO prompt_usage (prompt_id) SELECT %s FROM generate_series(1, %s)",
                    [id_of(kind, number), number % FIRST_ODD],
                )
            for prompt_id in ODD_IDS if kind == "text" else ():
                writer.execute("INSERT INTO prompts (id, name) VALUES (%s, 'odd')", [prompt_id])
                writer.execute(
                    "INSERT INTO prompt_usage (prompt_id) SELECT %s FROM generate_series(1, 50)", [prompt_id]
                )
        refresh(at(database, lake), values=True)
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            yield App(kind, lake, database, client)


def test_an_id_goes_before_a_slug_and_the_living_before_the_dead(app: App) -> None:
    for number in (LIVING, DELETED, OTHER):
        assert app.named(app.id(number)) == (app.id(number), number)
    assert app.named("twice") == (app.id(LIVING), LIVING)


@pytest.mark.parametrize(
    ("slug", "candidates"), [("ambiguous", (FIRST, SECOND)), ("all gone", (GONE, BURIED))]
)
def test_an_ambiguous_slug_is_an_error_that_lists_the_candidates(
    app: App, slug: str, candidates: tuple[int, ...]
) -> None:
    ids = [app.id(number) for number in candidates]
    favorite = f"/users/{uuid.UUID(int=1)}/favorites/{slug}"
    answers = [
        *(app.client.get(f"/prompts/{slug}{route}") for route in ROUTES),
        app.client.get("/prompts/compare", params={"ids": f"twice,{slug}"}),
        app.client.get("/prompts/sparklines", params={"ids": slug}),
        app.client.put(favorite),
        app.client.delete(favorite),
    ]
    assert {answer.status_code for answer in answers} == {409}
    assert all(each in answer.json()["detail"] for answer in answers for each in ids)
    with pytest.raises(AmbiguousError, match=rf"2 prompts .*{ids[0]}, {ids[1]}"):
        reading.prompt(at(app.database, app.lake), slug)


@pytest.mark.parametrize("slug", ODD_SLUGS)
def test_any_slug_works_in_every_route(app: App, slug: str) -> None:
    number = FIRST_ODD + ODD_SLUGS.index(slug)
    key = quote(slug, safe="")
    assert app.named(slug) == (app.id(number), number % FIRST_ODD)
    # The type of the ids is no matter to the others.
    for route in ROUTES if app.kind == "text" else ():
        answer = app.client.get(f"/prompts/{key}{route}")
        assert answer.status_code == 200, (route, answer.text)
    assert app.client.get(f"/prompts/{key}").json()["prompt"]["slug"] == slug
    for question in ("compare", "difference", "sparklines"):
        found = app.client.get(f"/prompts/{question}", params=[("ids", slug), ("ids", "twice")]).json()
        assert [each["promptId"] for each in found["prompts"]] == [app.id(number), app.id(LIVING)]


def test_any_spelling_is_the_same_uuid_and_no_other_id(app: App) -> None:
    key = app.id(LIVING)
    for spelling in {key.lower(), key.upper(), key.replace("-", ""), f"{{{key}}}", f"urn:uuid:{key}"} - {key}:
        if app.kind == "uuid":
            assert app.named(spelling) == (app.id(LIVING), LIVING)
        else:
            assert app.client.get(f"/prompts/{quote(spelling)}/stats").status_code == 404


def test_the_report_has_a_page_of_each_prompt_that_can_be_named(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = sorted(ODD_IDS) if app.kind == "text" else []
    unnamed = [("", "Not Found")] if odd else []
    settings = Settings.model_validate({"PROMPT_STATS_LAKE_URI": app.lake})
    written = write_report(settings, app.database, tmp_path / "report.html")
    assert [prompt["promptId"] for prompt in written.prompts[: len(odd)]] == odd
    assert [record.args for record in caplog.records] == unnamed
    held = json.loads(re.findall(r'id="answers">(.*?)</script>', written.file.read_text())[0])
    assert len(held["pages"]) == len(written.prompts) - len(unnamed)
    lines = next(answer for path, answer in held["answers"].items() if "sparklines" in path)
    assert [line["promptId"] for line in lines["prompts"]] == held["pages"]


def test_a_favourite_is_the_prompt_that_is_named_and_no_other(app: App) -> None:
    user = uuid.UUID(int=1)
    path = f"/users/{user}/favorites"

    def favorites() -> list[Any]:
        with psycopg.connect(app.database.conninfo) as connection:
            rows = connection.execute("SELECT prompt_id::text FROM prompt_favorites ORDER BY sort_order")
            return [row[0] for row in rows]

    for key in ("twice", app.id(OTHER), "marketing%2Fhero"):
        assert app.client.put(f"{path}/{key}").status_code == 204
    assert app.client.put(f"{path}/{app.id(DELETED)}").status_code == 404
    assert favorites() == [app.id(LIVING), app.id(OTHER), app.id(FIRST_ODD)]
    order = ["marketing/hero", app.id(LIVING), "nobody's", "\0"]
    assert app.client.put(path, json={"promptIds": order}).status_code == 204
    assert favorites() == [app.id(FIRST_ODD), app.id(LIVING), app.id(OTHER)]
    for key in ("twice", app.id(OTHER), "marketing%2Fhero", "nobody's", "%00"):
        assert app.client.delete(f"{path}/{key}").status_code == 204
    assert favorites() == []


def test_a_marker_is_that_of_the_prompt_that_is_named_and_no_other(app: App) -> None:
    def markers(key: str) -> list[tuple[str, str]]:
        found = app.client.get(f"/prompts/{key}/markers").json()["markers"]
        return [(each["day"], each["note"]) for each in found]

    days = ("2026-01-02", "2026-01-31", "2026-01-01")
    for key, day in zip(("twice", app.id(LIVING), "marketing%2Fhero"), days, strict=True):
        assert app.client.put(f"/prompts/{key}/markers/{day}", json={"note": key}).status_code == 204
    path = f"/prompts/{app.id(DELETED)}/markers/2026-01-01"
    assert app.client.put(path, json={"note": "x"}).status_code == 404
    assert markers("twice") == [("2026-01-31", app.id(LIVING)), ("2026-01-02", "twice")]
    assert markers("marketing%2Fhero") == [("2026-01-01", "marketing%2Fhero")]
    for key in ("twice", "marketing%2Fhero", "nobody's", "%00"):
        for day in days:
            assert app.client.delete(f"/prompts/{key}/markers/{day}").status_code == 204
    assert markers("twice") == markers("marketing%2Fhero") == []


def test_a_name_is_enough_where_no_other_prompt_has_it(app: App) -> None:
    assert app.named(f"prompt {SECOND}") == (app.id(SECOND), SECOND)
    with psycopg.connect(app.database.conninfo) as writer:
        writer.execute(
            "UPDATE prompts SET slug = NULL, name = 'twins' WHERE id IN (%s, %s)",
            [id_of(app.kind, FIRST), id_of(app.kind, SECOND)],
        )
        # A slug goes before a name.
        writer.execute("UPDATE prompts SET name = 'twice' WHERE id = %s", [id_of(app.kind, OTHER)])
    try:
        ids = sorted((app.id(FIRST), app.id(SECOND)))
        answer = app.client.get("/prompts/twins/stats")
        assert answer.status_code == 409
        assert f"2 prompts have this name or slug: {', '.join(ids)}" in answer.json()["detail"]
        with pytest.raises(AmbiguousError, match=f"{ids[0]}, {ids[1]}"):
            reading.prompt(at(app.database, app.lake), "twins")
        assert app.named("twice") == (app.id(LIVING), LIVING)
        with psycopg.connect(app.database.conninfo) as writer:
            writer.execute("UPDATE prompts SET deleted_at = now() WHERE id = %s", [id_of(app.kind, FIRST)])
        assert app.named("twins") == (app.id(SECOND), SECOND)
        user = f"/users/{uuid.UUID(int=7)}/favorites"
        assert [
            app.client.put(f"{user}/twins").status_code,
            app.client.delete(f"{user}/twins").status_code,
        ] == [204] * 2
        with pytest.raises(NotFoundError, match="Did you mean twins"):
            reading.prompt(at(app.database, app.lake), "twin")
    finally:
        with psycopg.connect(app.database.conninfo) as writer:
            for number in (FIRST, SECOND, OTHER):
                slug = "ambiguous" if number != OTHER else app.id(LIVING)
                writer.execute(
                    "UPDATE prompts SET slug = %s, name = %s, deleted_at = NULL WHERE id = %s",
                    [slug, f"prompt {number}", id_of(app.kind, number)],
                )


def test_the_readmes_example_works_on_an_apps_own_tables(app: App, tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    [choice, program] = re.findall(
        r"```(?:sh|python)\n(export PROMPT=.*?|import os\n.*?)```", readme, re.DOTALL
    )
    statement = re.findall(r'--command "(.*?)"', choice)[0]
    (chosen,) = rows_of(app.database, f"SELECT id::text FROM ({statement}) AS any_one")[0]
    counted = (
        f"SELECT count(*) FROM prompt_usage WHERE prompt_id::text = '{chosen}' AND generation_time_ms = 5000"
    )
    given = {"DATABASE_URL": app.database.conninfo, "PROMPT": chosen}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path, **given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert rows_of(app.database, counted) == [(1,)]
    run(app.database, "DELETE FROM prompt_usage WHERE generation_time_ms = 5000")


@pytest.mark.parametrize("key", ["nobody's", "\0", "\udcff", "\ud800x"])
def test_what_no_prompt_is_called_is_not_found(app: App, key: str) -> None:
    with pytest.raises(NotFoundError, match="there is none with this id, slug or name"):
        reading.prompt(at(app.database, app.lake), key)


def test_seeding_updates_the_living_prompt_of_a_slug_that_is_not_unique(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    entry = {"slug": "a", "name": "new", "category": "portrait", "template": "t"}
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps([entry]))
    with adopted(new_database, "text") as database, psycopg.connect(database.conninfo) as app:
        app.autocommit = True
        app.execute(SLUGS.encode())
        assert (seed_prompts(database, file).updated, seed_prompts(database, file).unchanged) == (1, 1)
        assert app.execute("SELECT id FROM prompts WHERE name = 'new'").fetchall() == [("1",)]
        app.execute("UPDATE prompts SET deleted_at = now(), name = ''")
        with pytest.raises(InputError, match=r"entry 1 \(a\): the prompts 1, 2, 3 have this slug"):
            seed_prompts(database, file)
        app.execute("DELETE FROM prompts WHERE id IN ('2', '3')")
        assert seed_prompts(database, file).updated == 1


SLUGS = """
    DELETE FROM prompts;
    INSERT INTO prompts (id, slug, name, deleted_at) VALUES
        ('1', 'a', '', NULL), ('2', 'a', '', now()), ('3', 'a', '', now()),
        ('4', NULL, '', NULL), ('5', NULL, '', NULL)
"""


def test_unique_slugs_are_offered_where_the_data_allows_them(new_database: NewDatabase) -> None:
    with adopted(new_database, "text") as database, psycopg.connect(database.conninfo) as app:
        app.autocommit = True
        app.execute(SLUGS.encode())
        [offer] = plan_migration(database).offers
        app.execute("INSERT INTO prompts (id, slug, name) VALUES ('6', 'a', '')")
        assert plan_migration(database).offers == []
        app.execute("DELETE FROM prompts WHERE id = '6'")
        app.execute(offer.statement.encode())
        assert plan_migration(database).offers == []
        with pytest.raises(psycopg.errors.UniqueViolation):
            app.execute("INSERT INTO prompts (id, slug, name) VALUES ('6', 'a', '')")
