"""The analysts' queries, and Grafana's, run as the reader's role: they say what the events do."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row

from pipeline.database.connections import Database
from pipeline.refresh import refresh
from tests.app import at
from tests.command import REPOSITORY
from tests.conftest import NewDatabase
from tests.psql import interpolated, psql
from tests.roles import as_role

FOLDER = REPOSITORY / "sql" / "analysis"
FILES = sorted(FOLDER.glob("*.sql"))

NOW = dt.datetime.now(dt.UTC)
# In the middle of a period of seven days, so that a midnight between the events and the refresh is no matter.
THIS_WEEK, WEEK_BEFORE, LONG_AGO = (NOW - dt.timedelta(days=days) for days in (3, 10, 40))
ANN, BEN = (uuid.UUID(int=number) for number in (1001, 1002))


class Events(NamedTuple):
    """Equal events."""

    slug: str
    times: int
    created_at: dt.datetime
    user_id: uuid.UUID | None = None
    scene: str | None = None
    success: bool | None = True
    generation_time_ms: int | None = None
    error_message: str | None = None


SELFIE = "portrait-selfie-casual"
PROMPTS = (SELFIE, "steady", "runway", "new", "unused", "retired", *(f"used-{n}-times" for n in range(3, 12)))
EVENTS = (
    Events(SELFIE, 30, THIS_WEEK, ANN, "cafe", generation_time_ms=1000),
    Events(SELFIE, 3, THIS_WEEK, BEN, success=False, error_message="timeout after 30 s"),
    Events(SELFIE, 1, THIS_WEEK, BEN, success=False, error_message="out of memory"),
    Events(SELFIE, 10, WEEK_BEFORE, BEN, "", success=None, generation_time_ms=3001),
    Events("steady", 34, LONG_AGO, generation_time_ms=2000),
    # Of the prompts that fail, it alone does so less often than all together.
    Events("steady", 1, LONG_AGO, success=False, generation_time_ms=2000),
    Events("runway", 5, THIS_WEEK, ANN, "stage", success=False, generation_time_ms=70_000),
    Events("runway", 10, WEEK_BEFORE, ANN, "stage"),
    Events("new", 2, THIS_WEEK),
    Events("retired", 50, LONG_AGO, generation_time_ms=90_000),
    Events("gone", 3, THIS_WEEK),
    *(Events(f"used-{n}-times", n, LONG_AGO) for n in range(3, 12)),
)

# The app's own, as it asks them.
TOP_PROMPTS = b"""
SELECT p.id, p.name, p.usage_count, p.success_count,
       (p.success_count::float / NULLIF(p.usage_count, 0) * 100) AS success_rate
FROM prompts p WHERE p.is_active = true ORDER BY p.usage_count DESC LIMIT 10;
"""
PROMPT_SCENES = b"""
SELECT pu.scene, COUNT(*) AS usage_count, AVG(pu.generation_time_ms) AS avg_time_ms,
       SUM(CASE WHEN pu.success THEN 1 ELSE 0 END)::float / COUNT(*) * 100 AS success_rate
FROM prompt_usage pu WHERE pu.prompt_id = $1 GROUP BY pu.scene ORDER BY usage_count DESC;
"""
COUNTED_PROMPTS = """
    CREATE SCHEMA counted
    CREATE VIEW prompts AS
    SELECT prompt.id, prompt.name, prompt.is_active, count(event.prompt_id) AS usage_count,
           count(*) FILTER (WHERE event.success) AS success_count
    FROM public.prompts AS prompt LEFT JOIN public.prompt_usage AS event ON event.prompt_id = prompt.id
    GROUP BY prompt.id
"""


def id_of(slug: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, slug)


@pytest.fixture(scope="module")
def published(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with the events, counted. Ann likes a prompt that she uses, and one that she does not."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(
                "INSERT INTO prompts (id, slug, name, template, is_active) VALUES (%s, %s, %s, '', %s)",
                [(id_of(slug), slug, slug.title(), slug != "retired") for slug in PROMPTS],
            )
            app.cursor().executemany(
                "INSERT INTO prompt_usage"
                " (prompt_id, created_at, user_id, scene, success, generation_time_ms, error_message)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [(id_of(slug), *values) for slug, times, *values in EVENTS for _ in range(times)],
            )
            app.cursor().executemany(
                "INSERT INTO prompt_favorites (user_id, prompt_id) VALUES (%s, %s)",
                [(ANN, id_of(SELFIE)), (ANN, id_of("unused")), (BEN, id_of("runway"))],
            )
        refresh(at(database, str(tmp_path_factory.mktemp("lake"))))
        yield database


@pytest.fixture(scope="module")
def reader(published: Database) -> Iterator[Database]:
    """The same, as an analyst."""
    with as_role(published, "reader") as database:
        yield database


def ask(database: Database, name: str, **variables: object) -> list[Any]:
    """The rows that a file answers with."""
    with psycopg.connect(database.conninfo, row_factory=namedtuple_row) as connection:
        return connection.execute(interpolated(FOLDER / f"{name}.sql", **variables).encode()).fetchall()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_runs_as_it_stands_and_says_as_of(
    file: Path, reader: Database, published: Database
) -> None:
    rows = ask(reader, file.stem)
    printed = psql(reader, "--csv", "--tuples-only", f"--file={file}")
    assert len(printed.splitlines()) == len(rows) > 0
    with psycopg.connect(published.conninfo, row_factory=dict_row) as connection:
        (latest,) = connection.execute("SELECT as_of FROM stats_refresh").fetchall()
    # The app's own queries have the app's columns.
    as_of = set() if file.stem.startswith("app_") else {latest["as_of"]}
    assert {row.as_of for row in rows if as_of} == as_of


def test_most_popular_prompts(reader: Database) -> None:
    rows = ask(reader, "most_popular_prompts")
    used = [(f"used-{n}-times", n) for n in range(11, 2, -1)]
    assert [(row.slug, row.usage_count) for row in rows] == [
        (SELFIE, 44),
        ("steady", 35),
        ("runway", 15),
        *used,
        ("new", 2),
        ("unused", 0),
    ]
    assert (rows[0].unique_users, rows[0].favorite_count, rows[0].usage_count_30d) == (2, 1, 44)


def test_prompt_scenes(reader: Database) -> None:
    rows = ask(reader, "prompt_scenes", prompt="portrait-selfie-casual")
    assert {row.prompt_name for row in rows} == {SELFIE.title()}
    assert [(row[:5], row.avg_generation_time_ms) for row in rows] == [
        (("cafe", 30, 30, 0, 100), 1000),
        (("", 10, 0, 0, 0), 3001),
        ((None, 4, 0, 4, 0), None),
    ]


@pytest.mark.parametrize("name", ["prompt_scenes", "app_prompt_scenes"])
def test_a_prompt_is_named_as_everywhere(published: Database, name: str) -> None:
    before = ask(published, name, prompt=SELFIE)
    with psycopg.connect(published.conninfo) as app:
        app.execute("ALTER TABLE prompts DROP CONSTRAINT prompts_slug_key")
        app.execute("UPDATE prompts SET slug = %s, deleted_at = now() WHERE slug = 'runway'", (SELFIE,))
        query = interpolated(FOLDER / f"{name}.sql", prompt=SELFIE)
        assert app.execute(query.encode()).fetchall() == [tuple(row) for row in before]
        # An id is that of its prompt, whatever slugs others have.
        app.execute("UPDATE prompts SET slug = %s WHERE slug = 'steady'", (str(id_of("runway")),))
        of_id = query.replace(SELFIE, str(id_of("runway")))
        assert [row[0] for row in app.execute(of_id.encode())] == ["stage"]
        # A name is the last that is looked at, and names a prompt that has no slug too.
        of_name = query.replace(SELFIE, "Runway")
        app.execute("UPDATE prompts SET slug = NULL WHERE name = 'Runway'")
        assert [row[0] for row in app.execute(of_name.encode())] == ["stage"]
        app.execute("UPDATE prompts SET slug = %s, deleted_at = NULL WHERE name = 'Runway'", (SELFIE,))
        with pytest.raises(psycopg.errors.CardinalityViolation):
            app.execute(query.encode())
        app.rollback()


def test_scenes(reader: Database) -> None:
    rows = ask(reader, "scenes")
    assert {row.scene: row.usage_count for row in rows} == {None: 157, "cafe": 30, "stage": 15, "": 10}
    shares = [count / 212 * 100 for count in (157, 30, 15, 10)]
    assert [float(row.usage_share) for row in rows] == pytest.approx(shares)


def test_user_preferences(reader: Database) -> None:
    rows = ask(reader, "user_preferences")
    assert [(row.slug, row.usage_count, row.is_favorite) for row in rows] == [
        (SELFIE, 30, True),
        ("runway", 15, False),
        ("unused", 0, True),
    ]


def test_best_prompts(reader: Database) -> None:
    assert [row.slug for row in ask(reader, "best_prompts")] == ["steady", SELFIE]


def test_slowest_prompts(reader: Database) -> None:
    assert [(row.slug, row.timed_count) for row in ask(reader, "slowest_prompts")] == [
        (SELFIE, 40),
        ("steady", 35),
    ]


def test_failing_prompts(reader: Database) -> None:
    rows = ask(reader, "failing_prompts")
    assert [(row.slug, row.failure_count, row.error_kind, row.error_count) for row in rows] == [
        ("runway", 5, None, None),
        (SELFIE, 4, "timeout after <n> s", 3),
        (SELFIE, 4, "out of memory", 1),
    ]
    assert float(rows[0].failure_rate) == pytest.approx(100 / 3)


def test_rising_and_falling_prompts(reader: Database) -> None:
    assert [(row.slug, *row[3:7]) for row in ask(reader, "rising_and_falling_prompts")] == [
        (SELFIE, 34, 10, 24, 240),
        (None, 3, 0, 3, None),
        ("new", 2, 0, 2, None),
        ("runway", 5, 10, -5, -50),
    ]


def test_usage_by_week(reader: Database) -> None:
    rows = ask(reader, "usage_by_week")
    mondays = [row.week for row in rows]
    today = rows[0].as_of.astimezone(dt.UTC).date()
    first, last = (day - dt.timedelta(days=day.weekday()) for day in (LONG_AGO.date(), today))
    weeks = (last - first).days // 7 + 1
    assert mondays == [last - dt.timedelta(weeks=number) for number in range(weeks)]
    for row in rows:
        events = [e for e in EVENTS if row.week <= e.created_at.date() < row.week + dt.timedelta(days=7)]
        counts = [sum(e.times for e in events if outcome(e)) for outcome in OUTCOMES]
        assert [row.usage_count, row.success_count, row.failure_count] == counts
        assert row.prompt_count == len({e.slug for e in events})
        assert row.success_rate == (counts[1] / counts[0] * 100 if counts[0] else None)
        assert row.is_over == (row.week < last)


OUTCOMES = (lambda _event: True, lambda event: event.success, lambda event: event.success is False)


def test_freshness(reader: Database) -> None:
    (row,) = ask(reader, "freshness")
    assert (row.usage_count, row.held_back_count, row.pending_days) == (212, 0, [])
    assert row.user_stats_as_of == row.as_of
    assert 0 <= row.lag_seconds < (dt.datetime.now(dt.UTC) - NOW).total_seconds()


def test_unused_prompts(reader: Database) -> None:
    assert [row.slug for row in ask(reader, "unused_prompts")] == ["unused"]


def test_the_apps_ranking_is_the_same_as_over_the_raw_events(reader: Database, published: Database) -> None:
    with psycopg.connect(published.conninfo) as owner:
        owner.execute(COUNTED_PROMPTS)
        owner.execute("SET LOCAL search_path = counted, public")
        raw = owner.execute(TOP_PROMPTS).fetchall()
        owner.execute("SET LOCAL search_path = public")
        assert owner.execute(TOP_PROMPTS).fetchall() == raw
        owner.rollback()
    assert len(raw) == 10
    assert ask(reader, "app_top_prompts") == raw


def test_the_apps_scenes_are_the_same_as_over_the_raw_events(reader: Database, published: Database) -> None:
    with psycopg.connect(published.conninfo) as owner:
        raw = psycopg.RawCursor(owner).execute(PROMPT_SCENES, [id_of(SELFIE)]).fetchall()
    answered = ask(reader, "app_prompt_scenes", prompt=SELFIE)
    assert len(raw) == 3
    # The average of integers is numeric.
    assert answered == [(scene, uses, ms and float(ms), rate) for scene, uses, ms, rate in raw]


BOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "prompt-stats.json").read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in BOARD["panels"]}


def grafana(database: Database, title: str, days: int = 30) -> list[dict[str, Any]]:
    """The rows of a panel for the last days, its macros as Grafana's PostgreSQL data source expands them."""
    (target,) = PANELS[title]["targets"]
    until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    first, last = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (until - dt.timedelta(days=days), until))
    sql = re.sub(r"\$__timeFilter\(([^)]+)\)", rf"\1 BETWEEN '{first}' AND '{last}'", target["rawSql"])
    assert "$" not in sql
    with psycopg.connect(database.conninfo, row_factory=dict_row) as connection:
        return connection.execute(sql.encode()).fetchall()


def of_period() -> list[Events]:
    return [each for each in EVENTS if each.created_at > LONG_AGO]


def uses_of(events: list[Events], *, success: bool | None = None) -> int:
    return sum(each.times for each in events if success is None or each.success is success)


@pytest.mark.parametrize("title", PANELS)
def test_every_panel_runs_as_the_reader(reader: Database, title: str) -> None:
    rows = grafana(reader, title)
    # Nothing is raised here: test_the_panel_of_alerts has some.
    assert bool(rows) == (title != "Raised alerts")
    if PANELS[title]["type"] == "timeseries":
        assert all(row["time"].tzinfo for row in rows)
        assert [row["time"] for row in rows] == sorted({row["time"] for row in rows})


def test_the_panels_of_the_period_say_what_the_events_do(reader: Database) -> None:
    recent = of_period()
    assert grafana(reader, "Uses") == [{"uses": uses_of(recent)}]
    assert float(grafana(reader, "Success rate")[0]["success_rate"]) == pytest.approx(
        uses_of(recent, success=True) / uses_of(recent) * 100
    )
    assert grafana(reader, "Uses", days=60) == [{"uses": uses_of(list(EVENTS))}]
    assert grafana(reader, "Uses per day") == [
        {
            "time": day.replace(hour=0, minute=0, second=0, microsecond=0),
            "uses": uses_of(events := [each for each in recent if each.created_at == day]),
            "failures": uses_of(events, success=False),
        }
        for day in (WEEK_BEFORE, THIS_WEEK)
    ]
    rates = [float(row["success_rate"]) for row in grafana(reader, "Success rate per day")]
    assert rates == pytest.approx([50, 35 / 44 * 100])
    used = [(row["prompt"], row["uses"]) for row in grafana(reader, "Most used prompts")]
    assert used == [(SELFIE.title(), 44), ("Runway", 15), (str(id_of("gone")), 3), ("New", 2)]
    failing = grafana(reader, "Prompts with most failures")
    # In these days the other one that failed did so less often than all together.
    assert [(row["prompt"], row["failures"], row["uses"]) for row in failing] == [("Runway", 5, 15)]
    assert float(failing[0]["failure_rate"]) == pytest.approx(100 / 3)


def test_the_panels_of_all_time_say_what_the_events_do(reader: Database) -> None:
    scenes = {row["scene"]: row["uses"] for row in grafana(reader, "Scenes, all time")}
    assert scenes == {"(none)": 157, "cafe": 30, "stage": 15, "(empty)": 10}
    errors = [(row["error"], row["errors"]) for row in grafana(reader, "Kinds of errors, all time")]
    assert errors == [("timeout after <n> s", 3), ("out of memory", 1)]
    slow = [(row["prompt"], row["timed"]) for row in grafana(reader, "Slowest prompts, all time")]
    assert slow == [("Retired", 50), (SELFIE.title(), 40), ("Steady", 35)]


def test_the_panels_of_freshness(reader: Database) -> None:
    (age,) = grafana(reader, "Age of the stats")
    assert 0 <= age["lag_seconds"] < (dt.datetime.now(dt.UTC) - NOW).total_seconds()
    assert grafana(reader, "Not counted yet") == [{"pending days": 0, "held back events": 0}]
    assert len(grafana(reader, "How old the stats were when published")) == 1


def test_the_panel_of_alerts(published: Database) -> None:
    with psycopg.connect(published.conninfo) as owner:
        owner.execute(
            "INSERT INTO stats_alerts (rule, scope, prompt_id, scene, state, severity, recent_value, as_of,"
            " evaluated_at, raised_at, recovered_at) VALUES"
            " ('usage', 'prompt', %(id)s, NULL, 'ALERT', 'ALERT', 0, now(), now(), now(), NULL),"
            " ('usage', 'scene', NULL, 'cafe', 'WARNING', 'WARNING', 0, now(), now(), now(), NULL),"
            " ('usage', 'overall', NULL, NULL, 'OK', 'ALERT', 0, now(), now(), now(), now())",
            {"id": id_of(SELFIE)},
        )
    rows = grafana(published, "Raised alerts")
    with psycopg.connect(published.conninfo) as owner:
        owner.execute("DELETE FROM stats_alerts")
    assert [(row["severity"], row["about"]) for row in rows] == [
        ("ALERT", SELFIE.title()),
        ("WARNING", "cafe"),
    ]


def test_psql_is_told_what_to_choose(reader: Database) -> None:
    def printed(name: str, *variables: str) -> list[str]:
        given = [f"--set={each}" for each in variables]
        return psql(reader, "--csv", "--tuples-only", *given, f"--file={FOLDER / name}.sql").splitlines()

    assert len(printed("most_popular_prompts", "prompts_max=3")) == 3
    assert len(printed("best_prompts", "usage_count_min=40", "prompts_max=9")) == 1
    assert len(printed("failing_prompts", "kinds_max=1")) == 2
    assert printed("prompt_scenes", "prompt=Runway")[0].startswith("stage,15,")
    assert printed("app_prompt_scenes", f"prompt={id_of('runway')}")[0].startswith("stage,15,")
    assert [line.split(",")[1] for line in printed("user_preferences", f"user={BEN}")] == [SELFIE, "runway"]
    assert [line.split(",")[3] for line in printed("rising_and_falling_prompts", "days=20")][:1] == ["44"]
