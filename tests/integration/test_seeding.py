"""Seeding a database: what is written, what is left alone, and that nothing is half-done."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pipeline.database.connections import Database
from pipeline.errors import InputError
from pipeline.samples.seeding import SHIPPED_FILE, SeedReport, read_prompts, seed_prompts
from tests.adopted import adopted
from tests.conftest import NewDatabase


def entry(slug: str, **fields: object) -> dict[str, object]:
    return {"slug": slug, "name": slug, "category": "artistic", "template": "Of {{name}}", **fields}


def written(folder: Path, *entries: dict[str, object]) -> Path:
    file = folder / "prompts.json"
    file.write_text(json.dumps(entries))
    return file


def rows(database: Database) -> dict[str, dict[str, Any]]:
    """The rows of ``prompts`` by slug; ``xmin`` tells the transaction that wrote a row last."""
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT xmin::text, * FROM prompts")).mappings()
        return {row["slug"]: dict(row) for row in found}


def execute(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(statement))


def test_shipped_prompts_are_stored_as_the_file_says(database: Database) -> None:
    assert seed_prompts(database) == SeedReport(imported=24, updated=0, unchanged=0, rejected=0)

    stored = rows(database)
    assert len(stored) == 24
    for prompt in read_prompts(SHIPPED_FILE):
        fields = prompt.model_dump()
        assert {name: stored[prompt.slug][name] for name in fields} == fields
        assert stored[prompt.slug]["is_system_prompt"]
        assert stored[prompt.slug]["is_active"]
        assert stored[prompt.slug]["usage_count"] == 0


def test_seeding_again_writes_no_row(database: Database) -> None:
    seed_prompts(database)
    before = rows(database)

    assert seed_prompts(database) == SeedReport(imported=0, updated=0, unchanged=24, rejected=0)
    assert rows(database) == before


def test_changed_texts_are_updated_and_the_rest_is_left_alone(database: Database, tmp_path: Path) -> None:
    seed_prompts(database, written(tmp_path, entry("kept"), entry("changed", tags=["old"]), entry("gone")))
    execute(
        database,
        """
        UPDATE prompts SET usage_count = 7, success_count = 5, failure_count = 2, success_rate = 71.4,
            avg_generation_time_ms = 1234.5, last_used_at = '2025-03-04', favorite_count = 3,
            stats_as_of = '2025-03-05', is_active = false, deleted_at = '2025-03-06', is_system_prompt = false
        """,
    )
    before = rows(database)

    report = seed_prompts(
        database, written(tmp_path, entry("new"), entry("kept"), entry("changed", tags=["new"], name="New"))
    )

    assert report == SeedReport(imported=1, updated=1, unchanged=1, rejected=0)
    after = rows(database)
    assert after.keys() == {"new", "kept", "changed", "gone"}
    assert after["kept"] == before["kept"]
    assert after["gone"] == before["gone"]
    assert {name for name in before["changed"] if after["changed"][name] != before["changed"][name]} == {
        "xmin",
        "name",
        "tags",
        "updated_at",
    }
    assert after["changed"]["tags"] == ["new"]
    assert after["changed"]["updated_at"] > before["changed"]["updated_at"]


@pytest.mark.parametrize("name", ["description", "subcategory", "negative_prompt", "rating", "aspect_ratio"])
def test_a_text_that_is_left_out_is_taken_away(database: Database, tmp_path: Path, name: str) -> None:
    seed_prompts(database, written(tmp_path, entry("one", **{name: "something"})))

    assert seed_prompts(database, written(tmp_path, entry("one"))).updated == 1
    assert rows(database)["one"][name] is None


def test_a_bad_file_changes_nothing(database: Database, tmp_path: Path) -> None:
    seed_prompts(database, written(tmp_path, entry("one")))
    before = rows(database)
    bad = written(tmp_path, entry("one", name="Changed"), entry("two"), entry("three", category="none"))

    with pytest.raises(InputError, match=r"entry 3 \(three\), category"):
        seed_prompts(database, bad)

    assert rows(database) == before


def test_an_entry_that_the_database_refuses_is_named_and_takes_all_back(
    database: Database, tmp_path: Path
) -> None:
    execute(database, "ALTER TABLE prompts ADD CONSTRAINT short_name CHECK (length(name) < 20)")
    file = written(tmp_path, entry("one"), entry("two", name="much longer than that"), entry("three"))

    with pytest.raises(InputError, match=r"entry 2 \(two\): .*short_name.*\n1 of 3 entries were rejected"):
        seed_prompts(database, file)

    assert rows(database) == {}


@pytest.mark.parametrize("kind", ["uuid", "text", "bigint"])
def test_prompts_whose_ids_nobody_makes(new_database: NewDatabase, tmp_path: Path, kind: str) -> None:
    with adopted(new_database, kind) as database:
        if kind == "bigint":
            with pytest.raises(InputError, match="ids of prompts are bigint without a default"):
                seed_prompts(database, written(tmp_path, entry("one")))
            execute(database, "ALTER TABLE prompts ALTER id ADD GENERATED BY DEFAULT AS IDENTITY")
        assert seed_prompts(database, written(tmp_path, entry("one"), entry("two"))).imported == 2
        assert seed_prompts(database, written(tmp_path, entry("one"), entry("two"))).unchanged == 2
        stored = rows(database)
        assert stored["one"]["id"] != stored["two"]["id"]


@pytest.mark.parametrize("type_", ["json", "text[]", "varchar(20)[]", "tag[]"])
def test_lists_fit_the_columns_of_the_app(new_database: NewDatabase, tmp_path: Path, type_: str) -> None:
    columns = f"""
        CREATE TYPE tag AS ENUM ('old', 'new');
        ALTER TABLE prompts ADD tags {type_}, ADD required_dna {type_},
            ADD rating text GENERATED ALWAYS AS ('sfw') STORED;
    """
    with adopted(new_database, "uuid", columns) as database:
        for tags in (["old"], ["old", "new"], []):
            file = written(tmp_path, entry("one", tags=tags))
            report = seed_prompts(database, file)
            assert report.imported + report.updated == 1
            assert seed_prompts(database, file).unchanged == 1
            with database.engine.connect() as connection:
                stored = connection.execute(text("SELECT to_jsonb(tags), rating FROM prompts")).one()
            assert stored == (tags, "sfw")


def test_seedings_at_once_count_each_change_once(database: Database, tmp_path: Path) -> None:
    entries = [entry(f"number-{number}") for number in range(50)]
    # In opposite orders, so that without turns they would wait for each other's rows.
    (tmp_path / "backwards").mkdir()
    files = [written(tmp_path, *entries), written(tmp_path / "backwards", *entries[::-1])] * 3

    with ThreadPoolExecutor(len(files)) as pool:
        reports = list(pool.map(lambda file: seed_prompts(database, file), files))

    assert sum(report.imported for report in reports) == 50
    assert sum(report.unchanged for report in reports) == 50 * 5
    assert sum(report.updated for report in reports) == 0
    assert len(rows(database)) == 50
