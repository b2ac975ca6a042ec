"""The HTTP API's answers: the published stats, as of when they are, for those who may ask."""

from __future__ import annotations

import datetime as dt
import re
import socket
import subprocess
import sys
import uuid
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.database.connections import Database
from pipeline.errors import PromptStatsError
from pipeline.refresh import refresh
from pipeline.settings import Settings
from pipeline.web.dashboard.report import write_report
from tests.api import served
from tests.app import at
from tests.command import REPOSITORY, environment, prompt_stats
from tests.roles import as_role

NOW = dt.datetime.now(dt.UTC)
YESTERDAY = NOW - dt.timedelta(days=1)
PORTRAIT, STREET, UNUSED, RETIRED = (uuid.UUID(int=number) for number in range(1, 5))
USER = uuid.UUID(int=1001)
NOBODY = uuid.UUID(int=404)

PROMPTS = [
    (PORTRAIT, "portrait", "Portrait", "portrait", True, '["indoor"]'),
    (STREET, "street", "Street", "outdoor", True, "[]"),
    (UNUSED, "unused", "Unused", "outdoor", True, "[]"),
    (RETIRED, "retired", "Retired", "outdoor", False, "[]"),
]
INSERT_PROMPT = (
    "INSERT INTO prompts (id, slug, name, category, is_active, tags, template)"
    " VALUES (%s, %s, %s, %s, %s, %s, '')"
)
INSERT_EVENT = (
    "INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, error_message,"
    " created_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


def events() -> Iterator[tuple[Any, ...]]:
    """Portrait: 4 of 5 in two scenes, yesterday; street: 3 of 3, a week ago; retired: 10."""
    for number in range(5):
        message = "CUDA out of memory: 12 MiB" if number == 4 else None
        scene = "cafe" if number % 2 else None
        yield PORTRAIT, USER, scene, number < 4, 1000 * (number + 1), message, YESTERDAY
    for _ in range(3):
        yield STREET, USER, "cafe", True, 9000, None, NOW - dt.timedelta(days=8)
    for _ in range(10):
        yield RETIRED, None, None, False, None, None, NOW


@pytest.fixture(scope="module")
def client(new_database: Any, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The API on a database with stats; tests of this module only read, or put back what they changed."""
    lake = str(tmp_path_factory.mktemp("lake"))
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(INSERT_PROMPT, PROMPTS)
            app.cursor().executemany(INSERT_EVENT, list(events()))
        refresh(at(database, lake), values=True)
        with served(database, PROMPT_STATS_LAKE_URI=lake) as client:
            yield client


@pytest.fixture
def app_connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The app, on the test's own database."""
    with psycopg.connect(database.conninfo, autocommit=True) as connection:
        yield connection


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    """The answer to a request that has to succeed."""
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(found: dict[str, Any]) -> list[str]:
    return [prompt["name"] for prompt in found["prompts"]]


@pytest.mark.parametrize("key", ["portrait", str(PORTRAIT), PORTRAIT.hex])
def test_the_stats_of_a_prompt_are_those_of_the_contract_and_more(client: httpx.Client, key: str) -> None:
    found = get(client, f"/prompts/{key}/stats")
    as_of = dt.datetime.fromisoformat(found["asOf"])
    assert NOW < as_of < dt.datetime.now(dt.UTC)
    assert 0 < found["lagSeconds"] < 600
    last_used_at = dt.datetime.fromisoformat(found["lastUsedAt"])
    assert last_used_at == YESTERDAY
    expected = {
        "promptId": str(PORTRAIT),
        "totalUsage": 5,
        "successCount": 4,
        "failureCount": 1,
        "successRate": 80.0,
        "avgGenerationTimeMs": 3000.0,
        "timedCount": 5,
        "minGenerationTimeMs": 1000,
        "maxGenerationTimeMs": 5000,
        "uniqueUsers": 1,
        "usageCount1d": 5,
        "usageCountPrevious7d": 0,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["successRateLower"] == pytest.approx(37.55, abs=0.01)
    assert found["successRateUpper"] == pytest.approx(96.38, abs=0.01)
    assert found["p50GenerationTimeMs"] == pytest.approx(3000, rel=0.02)


def test_a_prompt_that_was_never_used_has_zeros(client: httpx.Client) -> None:
    found = get(client, "/prompts/unused/stats")
    counts = (
        "totalUsage",
        "successCount",
        "failureCount",
        "successRate",
        "avgGenerationTimeMs",
        "lastUsedAt",
    )
    assert [found[name] for name in counts] == [0, 0, 0, 0, None, None]


def test_the_most_used_are_the_active_ones_as_the_app_has_them(client: httpx.Client) -> None:
    answer = client.get("/prompts/top/used", params={"limit": 2})
    found = answer.json()
    assert [(prompt["slug"], prompt["usageCount"], prompt["isActive"]) for prompt in found] == [
        ("portrait", 5, True),
        ("street", 3, True),
    ]
    assert {"id", "negativePrompt", "requiredDna", "isSystemPrompt", "createdAt"} <= found[0].keys()
    assert dt.datetime.fromisoformat(answer.headers["stats-as-of"]) > NOW
    assert float(answer.headers["stats-lag-seconds"]) > 0


@pytest.mark.parametrize(
    ("ranking", "parameters", "expected"),
    [
        ("usage", {"minUsage": 4}, ["Portrait"]),
        ("usage", {"category": "outdoor"}, ["Street"]),
        ("usage", {"scene": "cafe"}, ["Street", "Portrait"]),
        ("usage", {"days": 7}, ["Portrait"]),
        ("usage", {"days": 9}, ["Portrait", "Street"]),
        # 3 of 3 beat 4 of 5 only just: 43.9 against 37.6.
        ("best", {}, ["Street", "Portrait"]),
        ("failing", {}, ["Portrait"]),
        ("failures", {}, ["Portrait"]),
        # It surely fails in 3.6 % of its uses at least, all together in 12.5 %.
        ("worse", {}, []),
        ("slowest", {}, ["Street", "Portrait"]),
        ("rising", {}, ["Portrait"]),
        ("falling", {}, ["Street"]),
        ("favored", {}, []),
    ],
)
def test_rankings(
    client: httpx.Client, ranking: str, parameters: dict[str, Any], expected: list[str]
) -> None:
    assert names(get(client, f"/prompts/top/{ranking}", **parameters)) == expected


def test_a_sure_rate_beats_a_lucky_one(client: httpx.Client) -> None:
    found = get(client, "/prompts/top/best")
    assert found["prompts"][0]["score"] == pytest.approx(43.85, abs=0.01)
    assert found["prompts"][1]["score"] == pytest.approx(37.55, abs=0.01)


def test_prompts_are_listed_filtered_and_searched(client: httpx.Client) -> None:
    found = get(client, "/prompts")
    assert (names(found), found["totalCount"]) == (["Portrait", "Street", "Unused"], 3)
    page = get(client, "/prompts", limit=1, offset=1)
    assert (names(page), page["totalCount"]) == (["Street"], 3)
    past = get(client, "/prompts", offset=9)
    assert (names(past), past["totalCount"]) == ([], 3)
    for parameters, expected in (
        ({"active": False}, ["Retired"]),
        ({"category": "outdoor"}, ["Street", "Unused"]),
        ({"tag": "indoor"}, ["Portrait"]),
        ({"search": "TREE"}, ["Street"]),
        ({"search": "%"}, []),
    ):
        assert names(get(client, "/prompts", **parameters)) == expected


def test_a_prompt_by_scene_environment_and_outfit(client: httpx.Client) -> None:
    scenes = get(client, "/prompts/portrait/scenes")["scenes"]
    assert [(each["scene"], each["usageCount"], each["successRate"]) for each in scenes] == [
        (None, 3, pytest.approx(200 / 3)),
        ("cafe", 2, 100.0),
    ]
    assert scenes[1]["successRateLower"] == pytest.approx(34.24, abs=0.01)
    for name in ("environment", "outfit"):
        [only] = get(client, f"/prompts/portrait/{name}s")[f"{name}s"]
        assert (only[name], only["usageCount"]) == (None, 5)


def test_all_prompts_by_scene_environment_and_outfit(client: httpx.Client) -> None:
    scenes = get(client, "/scenes")["scenes"]
    assert [(each["scene"], each["usageCount"]) for each in scenes] == [(None, 13), ("cafe", 5)]
    for name in ("environment", "outfit"):
        [only] = get(client, f"/{name}s")[f"{name}s"]
        assert (only[name], only["usageCount"]) == (None, 18)


def test_errors_are_told_by_kind(client: httpx.Client) -> None:
    [error] = get(client, "/prompts/portrait/errors")["errors"]
    assert (error["errorKind"], error["errorCount"]) == ("CUDA out of memory: <n> MiB", 1)
    assert get(client, "/prompts/unused/errors")["errors"] == []
    for by in ("scenes", "environments", "outfits"):
        answer = get(client, f"/prompts/portrait/errors/{by}")
        assert answer["valueStatsAsOf"] == answer["asOf"]
        assert [each | {"lastSeenAt": None} for each in answer["errors"]] == [
            error | {"value": None, "lastSeenAt": None}
        ]
        assert get(client, f"/prompts/unused/errors/{by}")["errors"] == []


@pytest.mark.parametrize(("bucket", "length"), [("day", 30), ("week", 5), ("month", 2)])
def test_a_series_adds_up_and_has_no_holes(client: httpx.Client, bucket: str, length: int) -> None:
    for key, count in (("portrait", 5), ("street", 3), ("unused", 0)):
        found = get(client, f"/prompts/{key}/series", bucket=bucket)
        assert found["bucket"] == bucket
        assert sum(period["usageCount"] for period in found["series"]) == count
        assert length - 1 <= len(found["series"]) <= length + 1
    day = YESTERDAY.date().isoformat()
    [period] = get(client, "/prompts/portrait/series", **{"from": day, "to": day})["series"]
    assert period == {
        "period": day,
        "usageCount": 5,
        "successCount": 4,
        "failureCount": 1,
        "successRate": 80.0,
    }


def test_hours_and_days_of_elsewhere_are_counted_from_the_raw_events(client: httpx.Client) -> None:
    hours = get(client, "/prompts/portrait/series", bucket="hour")["series"]
    used = [(hour["period"], hour["usageCount"]) for hour in hours if hour["usageCount"]]
    assert used == [(YESTERDAY.replace(tzinfo=None, minute=0, second=0, microsecond=0).isoformat(), 5)]
    assert len(hours) == 7 * 24
    for timezone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"):
        local = YESTERDAY.astimezone(zoneinfo.ZoneInfo(timezone))
        found = get(client, "/prompts/portrait/series", timezone=timezone)
        assert found["timezone"] == timezone
        assert [day["period"] for day in found["series"] if day["usageCount"]] == [local.date().isoformat()]
        assert len(found["series"]) == 30
        weeks = get(client, "/prompts/portrait/series", timezone=timezone, bucket="week")["series"]
        monday = (local.date() - local.weekday() * dt.timedelta(days=1)).isoformat()
        assert [(week["period"], week["usageCount"]) for week in weeks if week["usageCount"]] == [(monday, 5)]


def test_prompts_are_compared_in_the_order_asked_for(client: httpx.Client) -> None:
    found = get(client, "/prompts/compare", ids=f"street, {PORTRAIT}")
    assert [prompt["totalUsage"] for prompt in found["prompts"]] == [3, 5]
    assert client.get("/prompts/compare", params={"ids": "street,nobodys"}).status_code == 404
    assert client.get("/prompts/compare", params={"ids": ","}).status_code == 422


def test_favourites_are_added_ordered_and_removed(client: httpx.Client) -> None:
    path = f"/users/{USER}/favorites"
    for key in ("unused", "street", "unused"):
        assert client.put(f"{path}/{key}").status_code == 204
    assert names(get(client, f"/users/{USER}/prompts")) == ["Unused", "Street", "Portrait"]
    assert client.put(path, json={"promptIds": [str(STREET)]}).status_code == 204
    found = get(client, f"/users/{USER}/prompts")
    assert names(found) == ["Street", "Unused", "Portrait"]
    assert found["userStatsAsOf"] == found["asOf"]
    assert [(p["isFavorite"], p["sortOrder"], p["usageCount"]) for p in found["prompts"]] == [
        (True, 0, 3),
        (True, 1, 0),
        (False, None, 5),
    ]
    assert names(get(client, "/prompts", userId=str(USER))) == ["Street", "Unused", "Portrait"]
    assert client.put(f"{path}/nobodys").status_code == 404
    for key in ("unused", "street", "street"):
        assert client.delete(f"{path}/{key}").status_code == 204
    assert names(get(client, f"/users/{USER}/prompts")) == ["Portrait", "Street"]


def test_an_author_marks_the_days_of_a_change(client: httpx.Client) -> None:
    path = "/prompts/street/markers"
    for day, note in (("2026-01-02", "First"), ("2026-01-31", "Later <b>"), ("2026-01-02", "Second")):
        for _ in range(2):
            assert client.put(f"{path}/{day}", json={"note": note}).status_code == 204
    found = get(client, path)
    assert [(each["day"], each["note"]) for each in found["markers"]] == [
        ("2026-01-31", "Later <b>"),
        ("2026-01-02", "Second"),
    ]
    assert all(dt.datetime.fromisoformat(each["createdAt"]) > NOW for each in found["markers"])
    assert [each["note"] for each in get(client, path, limit=1)["markers"]] == ["Later <b>"]
    for day in ("2026-01-31", "2026-01-02", "2026-01-02"):
        assert client.delete(f"{path}/{day}").status_code == 204
    assert get(client, path)["markers"] == []
    assert client.put("/prompts/nobodys/markers/2026-01-02", json={"note": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("day", "body"),
    [
        ("2026-01-02", {"note": "x" * 201}),
        ("2026-01-02", {"note": " \n"}),
        ("2026-01-02", {"note": "a\0b"}),
        ("2026-01-02", {"note": 1}),
        ("2026-01-02", {}),
        ("2026-02-30", {"note": "x"}),
        ("today", {"note": "x"}),
    ],
)
def test_a_marker_needs_a_day_and_a_note_that_can_be_seen(
    client: httpx.Client, day: str, body: dict[str, Any]
) -> None:
    assert client.put(f"/prompts/street/markers/{day}", json=body).status_code == 422
    assert get(client, "/prompts/street/markers")["markers"] == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        *(f"/{name}" for name in ("stats", "scenes", "environments", "outfits", "series", "markers")),
        *("/errors", "/errors/scenes", "/failures"),
    ],
)
def test_what_is_not_there_is_said(client: httpx.Client, path: str) -> None:
    for key in ("nobodys", str(NOBODY), "%00"):
        answer = client.get(f"/prompts/{key}{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert "GET /prompts" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/prompts/top/used?limit=0", "limit"),
        ("/prompts/top/used?limit=1000", "limit"),
        ("/prompts/top/loved", "ranking"),
        ("/prompts/top/best?scene=cafe&days=7&from=2026-01-01", "days and from are both given"),
        ("/prompts/top/rising?days=7", "leave scene and the period out"),
        ("/prompts/portrait/series?from=2026-01-02&to=2026-01-01", "1 and 1830 days"),
        ("/prompts/portrait/series?from=1900-01-01", "1 and 1830 days"),
        ("/prompts/portrait/series?from=0001-01-01&to=0001-01-01", "no day beside them"),
        ("/prompts/portrait/series?timezone=Berlin", "Europe/Berlin"),
        ("/prompts/portrait/series?timezone=Europe/Berlin&from=2025-01-01", "1 and 92 days"),
        ("/prompts/portrait/series?timezone=Europe/Berlin&bucket=hour", "leave timezone out"),
        ("/prompts/portrait/series?bucket=hour&from=2025-01-01", "1 and 7 days"),
        ("/prompts?search=%00", "search"),
        ("/users/1/prompts", "uuid"),
        ("/prompts/portrait/series?granularity=hour", "there are: bucket, days, from, timezone, to"),
        ("/status?verbose=1", "there are: none"),
    ],
)
def test_a_parameter_that_can_not_be_used_is_named(client: httpx.Client, path: str, named: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/prompts/portrait/stats", "/prompts/top/used", "/scenes"])
def test_an_unchanged_answer_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_answer_changes_with_the_refresh_and_with_the_app(
    database: Database, lake: str, app_connection: psycopg.Connection[Any]
) -> None:
    app_connection.cursor().executemany(INSERT_PROMPT, PROMPTS)
    tags = []
    with served(database) as client:
        for change in (
            lambda: None,
            lambda: refresh(at(database, lake)),
            lambda: app_connection.execute("UPDATE prompts SET name = 'New' WHERE slug = 'portrait'"),
        ):
            change()
            answer = client.get("/prompts/portrait")
            assert answer.status_code == 200
            tags.append(answer.headers["etag"])
        assert len(set(tags)) == 3
        assert client.get("/prompts/portrait").headers["etag"] == tags[-1]


def test_before_the_first_refresh_nothing_is_known(database: Database) -> None:
    with served(database) as client:
        found = get(client, "/scenes")
        assert found == {"asOf": None, "lagSeconds": None, "scenes": []}
        assert get(client, "/health") == {"status": "ok"}
        assert "prompt_stats_lag_seconds" not in client.get("/metrics").text


def test_status_and_metrics_say_what_the_tables_say(client: httpx.Client) -> None:
    found = get(client, "/status")
    assert (found["usageCount"], found["rejectedCount"], found["pendingDays"]) == (18, 0, [])
    assert dt.datetime.fromisoformat(found["asOf"]) > NOW
    client.get("/prompts/nobodys/stats")
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = {
        (each.name, *each.labels.values()): each.value for family in families for each in family.samples
    }
    assert samples["prompt_stats_usage_events",] == 18
    assert 0 < samples["prompt_stats_lag_seconds",] < 600
    assert samples["prompt_stats_rows_written", "scene_stats"] == 2
    assert 0 < samples["prompt_stats_publish_step_seconds", "merge"] < 60
    assert NOW.timestamp() < samples["prompt_stats_published_timestamp_seconds",]
    assert samples["prompt_stats_oldest_writer_seconds",] < 60
    assert samples["prompt_stats_lake_readable",] == samples["prompt_stats_database_up",] == 1
    assert samples["prompt_stats_lake_files", "usage_events"] == 3
    sizes = [samples[f"prompt_stats_lake_{what}", "prompt_usage_daily"] for what in ("bytes", "log_files")]
    assert all(sizes)
    assert samples["prompt_stats_requests_total", "GET", "/prompts/{key}/stats", "404"] >= 1


def test_a_database_that_is_gone_is_an_outage(database: Database) -> None:
    with served(database) as client:
        assert client.get("/health").status_code == 200
        with psycopg.connect(database.conninfo, autocommit=True) as operator:
            operator.execute("ALTER TABLE prompt_stats RENAME TO elsewhere")
        answer = client.get("/prompts/top/used")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "elsewhere" not in answer.text
        with psycopg.connect(database.conninfo, autocommit=True) as operator:
            operator.execute("ALTER TABLE stats_refresh RENAME TO away")
        answer = client.get("/status")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert "prompt_stats_database_up 0.0" in metrics.text
        assert "prompt_stats_lake_readable" in metrics.text


def test_an_error_of_sql_is_no_outage(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as operator:
        operator.execute("ALTER TABLE prompt_stats ALTER favorite_count DROP DEFAULT")
        operator.execute("ALTER TABLE prompt_stats ALTER favorite_count TYPE boolean USING true")
    with served(database) as client:
        answer = client.get("/prompts/top/favored")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "This is a fault of prompt-stats; the log says more"
    assert "retry-after" not in answer.headers
    assert "CASE types" in caplog.text
    with pytest.raises(
        PromptStatsError, match=r"fault of prompt-stats; the log says more\. Please report it"
    ):
        write_report(Settings(), database, tmp_path / "report.html")


def test_a_right_that_is_missing_is_no_outage(database: Database) -> None:
    with as_role(database, "reader") as reader, served(reader) as client:
        assert client.get("/scenes").status_code == 200
        answer = client.get("/status")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database is not set up for this; the log says what is missing"


@pytest.mark.parametrize(
    "path", ["/prompts", "/prompts/top/used", "/scenes", "/status", "/metrics", f"/users/{USER}/prompts"]
)
def test_only_a_token_that_may_read_reads(database: Database, path: str) -> None:
    with served(database, PROMPT_STATS_API_TOKEN="read:reader,write:writer") as client:  # noqa: S106  # a test's
        for token, status in (("reader", 200), ("writer", 403), ("nobody", 401)):
            assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == status
        assert (
            client.put(f"/users/{USER}/favorites/x", headers={"Authorization": "Bearer reader"}).status_code
            == 403
        )
        assert client.get("/health").status_code == 200


def test_the_page_names_every_request(client: httpx.Client) -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    paths = [re.sub(r"{key}|{user_id}", "{id}", path) for path in client.get("/openapi.json").json()["paths"]]
    named = re.sub(r"/favorites/{prompt}", "/favorites/{id}", page)
    missing = [path for path in paths if path not in named and not path.endswith(("ments", "outfits"))]
    assert missing == []


def test_the_command_serves_this_machine_alone_without_a_token(database: Database, tmp_path: Path) -> None:
    refused = prompt_stats(tmp_path, "serve", "--host", "0.0.0.0", DATABASE_URL=database.conninfo)  # noqa: S104  # refused
    assert refused.returncode == 1
    assert "Set PROMPT_STATS_API_TOKEN" in refused.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "serve", "--port", str(port)],
        env=environment(tmp_path, DATABASE_URL=database.conninfo),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr
    with process, process.stderr:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "Uvicorn running" in line:
                break
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json() == {"status": "ok"}
        process.terminate()
        lines += process.stderr.readlines()
    assert "only this machine is served" in lines[0]
    assert process.returncode in {0, -15}


def test_other_sites_are_not_invited(client: httpx.Client) -> None:
    answer = client.get("/prompts", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
