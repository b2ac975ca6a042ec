"""What the Dagster UI shows of each asset is there, and true to the tables."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.metadata.source_code import CodeReferencesMetadataSet

from pipeline.database import tables
from pipeline.definitions import build_definitions
from pipeline.lake.usage_events import SCHEMA
from pipeline.orchestration import showing
from pipeline.orchestration.resources import Stores
from pipeline.settings import Settings
from tests.command import REPOSITORY

GRAPH = build_definitions(Stores(Settings.model_validate({}))).resolve_asset_graph()
TABLES = sorted(key.to_user_string() for key in GRAPH.get_all_asset_keys() - {dg.AssetKey("stats_report")})
SOURCES = {"prompt_usage", "posts", "prompt_favorites"}


def columns(name: str) -> dict[str, dg.TableColumn]:
    """The columns that the UI shows of an asset."""
    schema = GRAPH.get(dg.AssetKey(name)).metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    return {column.name: column for column in schema.columns}


@pytest.mark.parametrize("name", TABLES)
def test_an_asset_says_what_it_is(name: str) -> None:
    node = GRAPH.get(dg.AssetKey(name))
    assert node.description
    assert node.owners == ["team:prompt-stats"]
    assert node.group_name != "default"
    assert node.kinds
    assert all(column.description for column in columns(name).values())
    assert node.is_external == (name in SOURCES)
    if not node.is_external:
        assert node.code_version
        assert node.tags["pace"]


@pytest.mark.parametrize("name", sorted(set(TABLES) - SOURCES))
def test_a_link_leads_to_the_source(name: str) -> None:
    references = CodeReferencesMetadataSet.extract(GRAPH.get(dg.AssetKey(name)).metadata).code_references
    assert references
    (link,) = references.code_references
    assert isinstance(link, dg.LocalFileCodeReference)
    assert link.file_path.startswith(str(REPOSITORY / "pipeline" / "orchestration"))


@pytest.mark.parametrize("name", sorted(set(TABLES) - SOURCES))
def test_columns_come_from_columns_that_there_are(name: str) -> None:
    node = GRAPH.get(dg.AssetKey(name))
    lineage = node.metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineage)
    assert lineage.deps_by_column.keys() <= columns(name).keys()
    assert {"usage_count", "id", "error_count", "recent_count"} & lineage.deps_by_column.keys()
    for dep in (dep for deps in lineage.deps_by_column.values() for dep in deps):
        assert dep.asset_key in node.parent_keys
        assert dep.column_name in columns(dep.asset_key.to_user_string())


def test_columns_are_those_of_the_tables() -> None:
    assert list(columns("prompt_stats")) == tables.prompt_stats.c.keys()
    assert columns("prompt_stats")["prompt_id"].type == "uuid"
    assert columns("prompt_stats")["prompt_id"].constraints.unique
    assert list(columns("usage_events")) == SCHEMA.names


def test_the_lineage_goes_back_to_the_raw_events() -> None:
    asked, seen = [("prompts", "success_rate")], set()
    while asked:
        name, column = asked.pop()
        seen.add((name, column))
        lineage = GRAPH.get(dg.AssetKey(name)).metadata.get("dagster/column_lineage")
        if lineage:
            assert isinstance(lineage, dg.TableColumnLineage)
            deps = lineage.deps_by_column.get(column, [])
            asked += [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]
    assert {("usage_events", "success"), ("prompt_usage", "success"), ("prompt_usage", "id")} <= seen


def test_a_preview_is_a_table_of_plain_text() -> None:
    rows = pl.DataFrame(
        {
            "name": ["a|b <i>", None],
            "n": [1234, 5],
            "rate": [0.25, 1.0],
            "at": [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), None],
        }
    )
    assert showing.preview(rows).md_str == (
        "| name | n | rate | at |\n| --- | --: | --: | --- |\n"
        "| a\\|b &lt;i> | 1,234 | 0.2 | 2026-01-02 00:00 |\n| — | 5 | 1.0 | — |"
    )
    assert showing.preview(pl.DataFrame({"n": range(99)})).md_str
    assert len(str(showing.preview(pl.DataFrame({"n": range(99)})).md_str).splitlines()) == 2 + showing.ROWS


@pytest.mark.parametrize(
    ("numbers", "bars"),
    [([], " "), ([0], " "), ([5], "█"), ([1, 0, 4, 8], "▁ ▄█"), ([1, 1000], "▁█"), ([*range(90)], 30)],
)
def test_a_chart_is_a_line_of_bars(numbers: list[int], bars: str | int) -> None:
    text = str(showing.chart(numbers, "Rows by day").md_str)
    line = text.split("`")[1]
    assert bars in (line, len(line))
    assert text.endswith(f"Rows by day, at most {max([1, *numbers]):,}")
