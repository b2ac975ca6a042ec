"""The API keeps to its own OpenAPI description, whatever it is asked: schemathesis makes the requests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pipeline.refresh import refresh
from tests.api import served
from tests.conftest import FIRST_DAY, NewDatabase

PROMPT = uuid.UUID(int=1)
TOKEN = "both"  # noqa: S105  # a test's
EXAMPLES = 20
"""Requests of each operation."""


@pytest.fixture(scope="module")
def description(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The description of a served API that has stats to answer with."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(
                "INSERT INTO prompts (id, slug, name, template) VALUES (%s, 'portrait', 'Portrait', '')",
                (PROMPT,),
            )
            app.execute("INSERT INTO prompt_usage (prompt_id, success) VALUES (%s, true)", (PROMPT,))
        refresh(database, lake, FIRST_DAY)
        with served(database, PROMPT_STATS_LAKE_URI=lake, PROMPT_STATS_API_TOKEN=TOKEN) as client:
            yield schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")


def test_every_answer_is_as_described(description: Any) -> None:
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def keep_to_it(case: Any) -> None:
            # Which parameters exclude each other is beyond what a schema says.
            case.call_and_validate(
                headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=[positive_data_acceptance]
            )

        keep_to_it()
