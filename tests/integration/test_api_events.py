"""``POST /events``: what is taken counts once, what is not is named line by line."""

from __future__ import annotations

import codecs
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.database.connections import Database
from pipeline.limits import EVENTS_MAX, EVENTS_MAX_BYTES
from pipeline.refresh import refresh
from pipeline.web.api.events import LINES
from tests.api import served
from tests.app import at

PROMPT = uuid.UUID(int=1)
SLUG = "portrait"
TOKENS = "read:reader, write:writer both"


@pytest.fixture
def app(database: Database) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The app's database, with one prompt."""
    with psycopg.connect(database.conninfo, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(
            "INSERT INTO prompts (id, slug, name, template) VALUES (%s, %s, 'n', 't')", (PROMPT, SLUG)
        )
        yield connection


@pytest.fixture
def client(app: psycopg.Connection[Any], database: Database) -> Iterator[httpx.Client]:  # noqa: ARG001  # fills the database
    with served(database) as client:
        yield client


def event(**values: Any) -> dict[str, Any]:
    return {"eventId": str(uuid.uuid4()), "promptId": SLUG, **values}


def as_lines(*events: Any) -> dict[str, Any]:
    """A request with an event a line; a text stands for itself."""
    texts = [line if isinstance(line, str | bytes) else json.dumps(line) for line in events]
    lines = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return {"content": codecs.BOM_UTF8 + b"\n".join(lines), "headers": {"Content-Type": LINES[0]}}


def count(app: psycopg.Connection[dict[str, Any]], table: str) -> int:
    row = app.execute(f"SELECT count(*) AS count FROM {table}".encode()).fetchone()
    assert row
    return int(row["count"])


def test_an_event_is_appended_as_it_was_given(client: httpx.Client, app: psycopg.Connection[Any]) -> None:
    ids = {f"{name}_id": uuid.uuid4() for name in ("user", "character", "post", "job")}
    values = {
        **ids,
        "scene": "café",
        "environment": "",
        "success": False,
        "generation_time_ms": 5000,
        "error_message": "out of memory",
    }
    given = event(
        createdAt="2026-01-31T13:00:00+01:00",
        generationTimeMs=5000,
        error_message="out of memory",
        negativePrompt="not stored",
        **{name: values[name] for name in ("scene", "environment", "success")},
        **{name.replace("_id", "Id"): str(value) for name, value in ids.items()},
    )
    answer = client.post("/events", json=given)
    assert (answer.status_code, answer.json()) == (200, {"taken": 1, "rejected": [], "warnings": []})
    row = app.execute("SELECT * FROM prompt_usage").fetchone()
    assert row is not None
    assert row.pop("ingest_xid") > 0
    assert row.pop("created_at").isoformat() == "2026-01-31T12:00:00+00:00"
    expected = {"id": uuid.UUID(given["eventId"]), "prompt_id": PROMPT, "outfit": None, **values}
    assert row == expected


def test_a_repeated_request_counts_once(
    client: httpx.Client, app: psycopg.Connection[Any], database: Database, lake: str
) -> None:
    events = [event(success=True), event(promptId=str(PROMPT)), event(promptId="unknown")]
    for _ in range(3):
        answer = client.post("/events", json=events).json()
        assert answer["taken"] == 2
        assert [(wrong["line"], wrong["eventId"]) for wrong in answer["rejected"]] == [
            (3, events[2]["eventId"])
        ]
    assert (count(app, "prompt_usage"), count(app, "prompt_usage_rejected")) == (2, 1)
    assert refresh(at(database, lake)).usage_count == 2


def test_each_event_of_an_id_that_comes_twice_has_its_own_answer(
    client: httpx.Client, app: psycopg.Connection[Any]
) -> None:
    app.execute("ALTER TABLE prompt_usage ADD CHECK (scene <> 'refused')")
    unknown, refused, noted = (
        event(promptId="nobody's"),
        event(scene="refused", success=True),
        event(generationTimeMs=-1),
    )
    answer = client.post(
        "/events",
        json=[
            *(unknown, {**unknown, "promptId": SLUG}),
            *(event(), refused, {**refused, "scene": "cafe"}),
            *(noted, {**noted, "promptId": "nobody's"}),
        ],
    ).json()
    assert answer["taken"] == 4
    assert [(wrong["line"], wrong["eventId"]) for wrong in answer["rejected"]] == [
        *((1, unknown["eventId"]), (4, refused["eventId"]), (7, noted["eventId"]))
    ]
    assert [(warned["line"], warned["eventId"]) for warned in answer["warnings"]] == [(6, noted["eventId"])]
    assert (count(app, "prompt_usage"), count(app, "prompt_usage_rejected")) == (4, 3)


def test_what_is_wrong_is_said_line_by_line(client: httpx.Client, app: psycopg.Connection[Any]) -> None:
    named = event(eventId="one")
    good, unknown, late = event(), event(promptId="nobody's"), event(generationTimeMs=-1)
    typo, twice = event(sene="cafe"), event(prompt_id=SLUG)
    latin = b'{"scene": "caf\xe9"}'
    answer = client.post(
        "/events",
        **as_lines(
            good,
            "{",
            "",
            "7",
            {"promptId": SLUG},
            unknown,
            late,
            typo,
            twice,
            named,
            good,
            latin,
            "[" * 100_000,
        ),
    ).json()
    assert answer["taken"] == 4
    reasons = {wrong["line"]: wrong["reason"] for wrong in answer["rejected"]}
    assert {line: reason.partition(":")[0] for line, reason in reasons.items()} == {
        2: "not JSON",
        4: "not an object",
        5: "event_id is missing or not an id, so a repeated request would count twice",
        6: 'no prompt has the id or slug "nobody\'s"',
        9: "prompt_id is given twice",
        10: "event_id is not a UUID",
        12: "not JSON",
        13: "not JSON",
    }
    assert "utf-8" in reasons[12]
    assert answer["warnings"] == [
        {
            "line": 7,
            "eventId": late["eventId"],
            "warning": "generation_time_ms is not between 0 and 86,400,000 ms: -1: left out",
        },
        {"line": 8, "eventId": typo["eventId"], "warning": "sene is not a field of an event"},
    ]
    assert count(app, "prompt_usage") == 3
    kept = app.execute("SELECT payload ->> 'event_id' AS event_id, reason FROM prompt_usage_rejected")
    expected = [(given["eventId"], reasons[line]) for line, given in ((6, unknown), (9, twice), (10, named))]
    assert sorted((row["event_id"], row["reason"]) for row in kept) == sorted(expected)


FLAWS: dict[str, tuple[dict[str, Any], str]] = {
    "NUL": ({"scene": "stu\0dio"}, "scene has a NUL character"),
    "long text": (
        {"errorMessage": "x" * 10_001},
        "error_message has 10,001 characters, more than 10,000: cut",
    ),
    "fraction": ({"generationTimeMs": 5479.99}, "generation_time_ms is 5479.99, and its column is integer"),
    "no time": ({"generationTimeMs": "soon"}, "generation_time_ms is not a number of milliseconds"),
    "no user": ({"userId": "ada"}, "user_id is not a UUID: 'ada': left out"),
    "no date": ({"createdAt": "noon"}, "created_at is not an ISO 8601 time: 'noon': left out"),
}


def test_a_flaw_is_a_warning_and_as_likely_on_a_failure_as_on_a_success(
    client: httpx.Client, app: psycopg.Connection[Any]
) -> None:
    events = [event(success=success, **values) for values, _ in FLAWS.values() for success in (True, False)]
    answer = client.post("/events", json=[*events, event(generationTimeMs=5000.0)]).json()
    assert (answer["taken"], answer["rejected"]) == (len(events) + 1, [])
    said = [warning["warning"] for warning in answer["warnings"]]
    expected = [text for _, text in FLAWS.values() for _ in (True, False)]
    assert [text.startswith(start) for text, start in zip(said, expected, strict=True)] == [True] * len(said)
    outcomes = app.execute("SELECT success, count(*) FROM prompt_usage GROUP BY success").fetchall()
    assert {row["success"]: row["count"] for row in outcomes} == {True: 6, False: 6, None: 1}


def test_half_a_surrogate_pair_is_mended_and_keeps_no_other_event_out(
    client: httpx.Client, app: psycopg.Connection[Any]
) -> None:
    scenes = {r"a\ud83dz": "a\ufffdz", r"\uDE00": "\ufffd", r"\ud83d\ude00": "😀", r"\\ud83d": r"\ud83d"}
    bodies = [json.dumps(event(scene="@")).replace("@", scene) for scene in scenes]
    answers = [
        client.post("/events", content=content, headers={"content-type": kind}).json()
        for kind, content in (
            ("application/json", f"[{','.join(bodies)}]"),
            ("application/x-ndjson", "\n".join(bodies)),
        )
    ]
    assert [(answer["taken"], answer["rejected"]) for answer in answers] == [(4, []), (4, [])]
    for answer in answers:
        said = "scene has a NUL character or half a surrogate pair"
        assert [each["line"] for each in answer["warnings"] if each["warning"].startswith(said)] == [1, 2]
    stored = app.execute("SELECT scene FROM prompt_usage ORDER BY scene").fetchall()
    assert sorted(row["scene"] for row in stored) == sorted(scenes.values())


ODD = {
    "1e400": "is not a number of milliseconds: {'text': '1e400', 'type': 'number'}",
    "1" * 5_000: "is not a number of milliseconds: {'text': '111",
    **{
        odd: f"is not a number of milliseconds: {{'text': '{odd}', 'type': 'number'}}"
        for odd in ("NaN", "Infinity", "-Infinity")
    },
}


@pytest.mark.parametrize("kind", ["application/json", LINES[0]])
def test_a_value_that_no_parser_reads_keeps_no_event_out(
    client: httpx.Client, app: psycopg.Connection[Any], kind: str
) -> None:
    events = [json.dumps(event(generationTimeMs=0, scene='"1e400')).replace(": 0", f": {odd}") for odd in ODD]
    content = f"[{','.join(events)}]" if kind == "application/json" else "\n".join(events)
    answer = client.post("/events", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert (answer.json()["taken"], answer.json()["rejected"]) == (len(ODD), [])
    for warning, (line, said) in zip(answer.json()["warnings"], enumerate(ODD.values(), 1), strict=True):
        assert warning["line"] == line
        assert f"generation_time_ms {said}" in warning["warning"]
    times = app.execute("SELECT DISTINCT generation_time_ms, scene FROM prompt_usage").fetchall()
    assert times == [{"generation_time_ms": None, "scene": '"1e400'}]


def test_a_rejected_event_keeps_what_no_parser_reads(
    client: httpx.Client, app: psycopg.Connection[Any]
) -> None:
    content = json.dumps(event(promptId=0, userId=1)).replace(": 0", ": 1e400").replace(": 1}", ": NaN}")
    answer = client.post("/events", content=content, headers={"Content-Type": "application/json"}).json()
    assert [each["eventId"] for each in answer["rejected"]] == [json.loads(content)["eventId"]]
    kept = app.execute("SELECT payload FROM prompt_usage_rejected").fetchall()
    assert [row["payload"]["prompt_id"] for row in kept] == [{"type": "number", "text": "1e400"}]


def test_as_many_as_allowed_are_taken_at_once(client: httpx.Client, app: psycopg.Connection[Any]) -> None:
    answer = client.post("/events", **as_lines(*(event(scene=str(n)) for n in range(EVENTS_MAX))), timeout=60)
    assert answer.json() == {"taken": EVENTS_MAX, "rejected": [], "warnings": []}
    assert count(app, "prompt_usage") == EVENTS_MAX


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        ({"json": [{}] * (EVENTS_MAX + 1)}, 413, "10,000 events"),
        ({"json": ["x" * EVENTS_MAX_BYTES]}, 413, "32 MiB"),
        ({"content": "[", "headers": {"Content-Type": "application/json"}}, 400, "not JSON"),
        ({"content": "{}", "headers": {"Content-Type": "text/plain"}}, 415, "application/x-ndjson"),
        ({}, 415, "application/json"),
        ({"json": [], "headers": {"Content-Encoding": "gzip"}}, 415, "Content-Encoding"),
    ],
)
def test_a_request_that_can_not_be_read_is_a_problem(
    client: httpx.Client, request_: dict[str, Any], status: int, detail: str
) -> None:
    answer = client.post("/events", **request_)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert detail in problem["detail"]


def test_an_empty_request_takes_nothing(client: httpx.Client) -> None:
    nothing: dict[str, Any] = {"taken": 0, "rejected": [], "warnings": []}
    assert client.post("/events", json=[]).json() == nothing
    assert client.post("/events", **as_lines()).json() == nothing


def test_without_a_database_the_writer_is_told_to_come_again(
    client: httpx.Client, app: psycopg.Connection[Any], database: Database
) -> None:
    app.execute("ALTER TABLE prompt_usage RENAME TO elsewhere")
    answer = client.post("/events", json=event())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert database.conninfo not in answer.text
    app.execute("ALTER TABLE elsewhere RENAME TO prompt_usage")
    app.execute("ALTER TABLE prompt_usage ADD tenant text NOT NULL")
    answer = client.post("/events", json=event())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the table takes none" in answer.text
    app.execute("ALTER TABLE prompt_usage DROP tenant")
    assert client.post("/events", json=event()).json()["taken"] == 1


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Basic writer", 401),
        ("Bearer reader", 403),
        ("Bearer writer", 200),
        ("bearer both", 200),
    ],
)
def test_only_a_token_that_may_write_writes(
    database: Database, app: psycopg.Connection[Any], authorization: str | None, status: int
) -> None:
    with served(database, PROMPT_STATS_API_TOKEN=TOKENS) as client:
        headers = {"Authorization": authorization} if authorization else {}
        answer = client.post("/events", json=event(), headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert count(app, "prompt_usage") == (status == 200)


def test_without_tokens_another_host_name_is_refused(client: httpx.Client) -> None:
    for host, status in (("localhost:1", 200), ("[::1]", 200), ("evil.example", 403)):
        assert client.post("/events", json=[], headers={"Host": host}).status_code == status
