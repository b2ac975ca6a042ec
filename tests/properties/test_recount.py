"""Odd histories: after a refresh every stats table equals a recount of the raw events."""

from __future__ import annotations

import datetime as dt
import tempfile
import uuid
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.refresh import refresh
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount

PROMPTS = [uuid.UUID(int=number) for number in range(1, 4)]
UNLISTED_PROMPT = uuid.UUID(int=99)
USERS = [uuid.UUID(int=number) for number in range(1001, 1004)]
TEXTS = [
    None,
    "",
    " ",
    "studio",
    "\\N",
    "NULL",
    'a "quoted" text',
    "a,b;c",
    "two\nlines",
    "a\n\\.\nb",
    "é\u2028😀",
]
MESSAGES = [None, "", "timeout after 30 s", "timeout after 31 s", "see https://example.org/a/1", "x" * 5000]

NOW = dt.datetime.now(dt.UTC)
TIMES = st.one_of(
    st.none(),
    st.datetimes(
        (NOW - dt.timedelta(days=40)).replace(tzinfo=None),
        (NOW + dt.timedelta(hours=20)).replace(tzinfo=None),
        timezones=st.just(dt.UTC),
    ),
    st.sampled_from(
        [
            NOW.replace(hour=0, minute=0, second=0, microsecond=0),
            NOW.replace(hour=23, minute=59, second=59, microsecond=999_999) - dt.timedelta(days=1),
            dt.datetime(1999, 12, 31, tzinfo=dt.UTC),
            NOW + dt.timedelta(days=3),
            dt.datetime(2199, 1, 1, tzinfo=dt.UTC),
        ]
    ),
)

EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt_id": st.sampled_from([*PROMPTS, UNLISTED_PROMPT]),
            "user_id": st.sampled_from([None, *USERS]),
            "scene": st.sampled_from(TEXTS),
            "environment": st.sampled_from(TEXTS),
            "outfit": st.sampled_from(TEXTS),
            "success": st.sampled_from([True, False, None]),
            "generation_time_ms": st.one_of(
                st.none(), st.sampled_from([0, 1, 2, -5, 2**31 - 1]), st.integers(1, 60_000)
            ),
            "error_message": st.sampled_from(MESSAGES),
            "created_at": TIMES,
        }
    ),
    max_size=30,
)

INSERT = """
    INSERT INTO prompt_usage (prompt_id, user_id, scene, environment, outfit, success, generation_time_ms,
                              error_message, created_at)
    VALUES (%(prompt_id)s, %(user_id)s, %(scene)s, %(environment)s, %(outfit)s, %(success)s,
            %(generation_time_ms)s, %(error_message)s, %(created_at)s)
"""

PROMPTS_AS_WRITTEN = "SELECT ctid, xmin, prompts.* FROM prompts ORDER BY id"
"""Each row, and where and by whom it was written."""


@settings(
    max_examples=8,
    deadline=None,
    # An example takes a second, and shrinking hundreds: the first failure is small enough to read.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    first=EVENTS,
    second=EVENTS,
    favorites=st.sets(st.sampled_from([(p, u) for p in PROMPTS for u in USERS])),
    # What the app made of its counters; the first is more than there are events, so it has to be corrected.
    kept=st.tuples(st.integers(100, 109), st.integers(0, 9), st.integers(0, 9)),
)
def test_stats_equal_the_recount(
    new_database: NewDatabase,
    migrated_template: str,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
    favorites: set[tuple[uuid.UUID, uuid.UUID]],
    kept: tuple[int, int, int],
) -> None:
    with (
        new_database(migrated_template) as database,
        closing(replace(database, write_back=False)) as comparing,
        tempfile.TemporaryDirectory() as lake,
        psycopg.connect(database.conninfo, autocommit=True) as app,
    ):
        app.cursor().executemany(
            "INSERT INTO prompts (id, name, template, usage_count) VALUES (%s, 'a prompt', 'a template', %s)",
            list(zip(PROMPTS, kept, strict=True)),
        )
        app.cursor().executemany(
            "INSERT INTO prompt_favorites (prompt_id, user_id) VALUES (%s, %s)", list(favorites)
        )
        untouched = app.execute(PROMPTS_AS_WRITTEN).fetchall()
        for events, seen in ((first, comparing), (second, database)):
            app.cursor().executemany(INSERT, events)
            refresh(at(seen, lake), values=True)
            assert_equals_recount(seen, FIRST_DAY)
            assert (app.execute(PROMPTS_AS_WRITTEN).fetchall() == untouched) is (seen is comparing)
