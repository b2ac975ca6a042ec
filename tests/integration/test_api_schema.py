"""The API keeps to its own OpenAPI description, whatever it is asked: schemathesis makes the requests."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import product
from typing import Any

import httpx
import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    positive_data_acceptance,
    response_schema_conformance,
)

from pipeline.refresh import refresh
from pipeline.tracking.event import READERS
from tests.api import served
from tests.app import at
from tests.conftest import NewDatabase

PROMPT = uuid.UUID(int=1)
TOKEN = "both"  # noqa: S105  # a test's
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
EXAMPLES = 20
"""Requests of each operation."""

HOSTILE = (
    "\0",
    "a\0b",
    "x" * 10_000,
    "[red]x[/red] :fire: [/x]",
    "a/b//../c",
    "\u202egnp\u2066\u200f",
    "\N{GRINNING FACE}e\u0301\ufffe",
    "' OR 1=1; -- \\",
    "%00%2F",
    "-1",
    "",
)
RAW = ("%00", "%FF", "a%80", "%ED%A0%80", "%C0%AF", "%", "%zz", "+")
"""Ends of addresses: bytes that are no UTF-8, surrogates and slashes in forms that UTF-8 does not have."""

BODIES = ('"\\u0000"', '"\\ud800"', '"\\udcff x"', "1e999", "123456789012345678901234567890", "[]", "{}")
"""Values in JSON."""


@pytest.fixture(scope="module")
def client(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A served API that has stats to answer with."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.execute(
                "INSERT INTO prompts (id, slug, name, template) VALUES (%s, 'portrait', 'Portrait', '')",
                (PROMPT,),
            )
            app.execute("INSERT INTO prompt_usage (prompt_id, success) VALUES (%s, true)", (PROMPT,))
        refresh(at(database, lake))
        with served(database, PROMPT_STATS_LAKE_URI=lake, PROMPT_STATS_API_TOKEN=TOKEN) as client:
            yield client


@pytest.fixture(scope="module")
def description(client: httpx.Client) -> Any:
    """What it says of itself."""
    return schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")


def test_every_answer_is_as_described(description: Any) -> None:
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def keep_to_it(case: Any) -> None:
            # Which parameters exclude each other is beyond what a schema says.
            case.call_and_validate(headers=AUTHORIZED, excluded_checks=[positive_data_acceptance])

        keep_to_it()


def test_no_text_is_a_fault_of_the_program(description: Any) -> None:
    asked = 0
    for found in description.get_all_operations():
        operation = found.ok()
        texts = [*operation.path_parameters, *operation.query]
        for parameter, text in product(texts, HOSTILE):
            case = operation.Case(
                path_parameters={each.name: "portrait" for each in operation.path_parameters}, query={}
            )
            is_in_path = parameter.location == "path"
            (case.path_parameters if is_in_path else case.query)[parameter.name] = text
            if is_in_path and not text:
                continue
            case.call_and_validate(
                headers=AUTHORIZED,
                checks=[not_a_server_error, response_schema_conformance, content_type_conformance],
            )
            asked += 1
    assert asked > 500


def test_bytes_that_are_no_text_are_refused(client: httpx.Client) -> None:
    for start in (
        "/prompts/",
        "/prompts?search=",
        "/prompts/compare?ids=",
        "/users/",
        "/export/",
        "/x",
        "/status?",
    ):
        for raw in RAW:
            answer = client.get(f"{start}{raw}", headers=AUTHORIZED)
            assert answer.status_code < 500, answer.url
            is_text = raw in ("%00", "%", "%zz", "+")
            assert is_text or answer.status_code == 400
            assert answer.headers["content-type"].endswith("json")
        for raw in RAW:
            for rest in ("/prompts", f"/favorites/{raw}"):
                answer = client.put(f"/users/{raw}{rest}", headers=AUTHORIZED)
                assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("value", BODIES)
def test_no_value_in_a_body_is_a_fault_of_the_program(client: httpx.Client, value: str) -> None:
    for method, path, body in (
        ("PUT", f"/users/{PROMPT}/favorites", f'{{"promptIds": [{value}]}}'),
        ("PUT", f"/users/{PROMPT}/favorites", f"{{{value}: [{value}]}}"),
        ("PUT", f"/users/{PROMPT}/favorites", value),
        ("PUT", "/prompts/portrait/markers/2026-01-01", f'{{"note": {value}}}'),
        ("POST", "/events", value),
        *(("POST", "/events", f'[{{"eventId": "{PROMPT}", "{name}": {value}}}]') for name in (*READERS, "x")),
    ):
        answer = client.request(
            method, path, content=body, headers={**AUTHORIZED, "Content-Type": "application/json"}
        )
        assert answer.status_code < 500, (path, body)
        answer.text.encode()
