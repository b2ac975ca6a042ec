"""A database that was restored, copied or recovered has other transaction ids; nothing is skipped."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from pathlib import Path

import polars as pl
import psycopg
import pytest
from deltalake import write_deltalake

from pipeline.database.connections import Database
from pipeline.database.tables import prompt_usage
from pipeline.errors import LakeOwnerError, LostDaysError
from pipeline.lake.usage_events import SCHEMA, claim_lake, open_usage_events
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.retention import retain
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY
from tests.oracle import assert_equals_recount
from tests.triggers import OFF, ON

NOW = dt.datetime.now(dt.UTC)
ONE_DAY = dt.timedelta(days=1)
PROMPT = uuid.UUID(int=7)

INSERT = "INSERT INTO prompt_usage (prompt_id, created_at) VALUES (%s, %s)"
FAR_AHEAD = 10**12


def append(database: Database, *ages: int) -> None:
    """An event at each age."""
    with psycopg.connect(database.conninfo) as app:
        app.cursor().executemany(INSERT, [(PROMPT, NOW - age * ONE_DAY) for age in ages])


def move(database: Database, lake: str, ids: int) -> None:
    """Leaves what a dump of a server whose ids were ``ids`` further on leaves here, and claims the lake."""
    with psycopg.connect(database.conninfo) as operator:
        # pg_dump loads rows without firing triggers.
        operator.execute(OFF)
        operator.execute("UPDATE prompt_usage SET ingest_xid = ingest_xid + %s", (ids,))
        operator.execute(ON)
        operator.execute("UPDATE stats_refresh SET high = high + %s, next_xid = next_xid + %s", (ids, ids))
        operator.execute("UPDATE stats_sync SET high = high + %s", (ids,))
        operator.execute("UPDATE stats_lake_token SET server = 'another/1'")
    with pytest.raises(LakeOwnerError, match="that this one is a copy of"):
        refresh(at(database, lake))
    assert claim_lake(at(database, lake))


@pytest.mark.parametrize("ids", [FAR_AHEAD, 0])
def test_restored_database_is_read_anew(database: Database, lake: str, ids: int) -> None:
    append(database, 0, 1, 40)
    refresh(at(database, lake))
    # The dump is older than the lake: what came last is lost in Postgres.
    with psycopg.connect(database.conninfo) as operator:
        operator.execute(OFF)
        operator.execute("DELETE FROM prompt_usage WHERE created_at > CURRENT_DATE")
        operator.execute(ON)
    move(database, lake, ids)
    append(database, 0, 1)
    assert len(plan_refresh(at(database, lake)).days) == 3
    assert refresh(at(database, lake)).pending_days == []
    assert_equals_recount(database, FIRST_DAY)
    append(database, 0, 40)
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)
    assert plan_refresh(at(database, lake)).days == []


def test_ids_that_stepped_back_on_the_same_server_are_recognised(database: Database, lake: str) -> None:
    append(database, 0, 1)
    refresh(at(database, lake))
    with psycopg.connect(database.conninfo) as operator:
        operator.execute("UPDATE stats_sync SET high = high + %s", (FAR_AHEAD,))
    append(database, 0)
    refresh(at(database, lake))
    assert_equals_recount(database, FIRST_DAY)


def test_new_column_takes_the_ids_of_new_rows(database: Database, lake: str) -> None:
    append(database, 0)
    refresh(at(database, lake))
    move(database, lake, FAR_AHEAD)
    refresh(at(database, lake))
    append(database, 0)
    with psycopg.connect(database.conninfo) as connection:
        ids = connection.execute("SELECT ingest_xid IS NULL FROM prompt_usage ORDER BY 1").fetchall()
        index = connection.execute("SELECT to_regclass('prompt_usage_ingest_brin') IS NOT NULL").fetchone()
        comment = connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute"
            " WHERE attrelid = 'prompt_usage'::regclass AND attname = 'ingest_xid'"
        ).fetchone()
    assert (ids, index) == ([(False,), (True,)], (True,))
    assert comment == (prompt_usage.c.ingest_xid.comment,)


def test_restored_rows_of_expired_days_count_once(database: Database, lake: str) -> None:
    append(database, 0, 40)
    refresh(at(database, lake))
    with psycopg.connect(database.conninfo) as operator:
        dump = operator.execute("SELECT id, prompt_id, created_at FROM prompt_usage").fetchall()
    retain(at(database, lake), days=5)
    with psycopg.connect(database.conninfo) as operator:
        # The dump was made before the rows were removed.
        operator.cursor().executemany(
            "INSERT INTO prompt_usage (id, prompt_id, created_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            dump,
        )
    move(database, lake, FAR_AHEAD)
    assert refresh(at(database, lake)).usage_count == 2
    assert plan_refresh(at(database, lake)).days == []


def test_a_moved_database_takes_no_lake_of_before_an_erasure(
    database: Database, lake: str, tmp_path: Path
) -> None:
    with psycopg.connect(database.conninfo) as app:
        for number in (1, 2, 2):
            app.execute(
                "INSERT INTO prompt_usage (prompt_id, user_id, created_at) VALUES (%s, %s, %s)",
                (PROMPT, uuid.UUID(int=number), NOW - 40 * ONE_DAY),
            )
    refresh(at(database, lake))
    retain(at(database, lake), days=5)
    rows = pl.DataFrame(open_usage_events(lake).read().to_table())
    theirs = rows.with_columns(pl.col("ingest_xid", "synced_high") + FAR_AHEAD).to_arrow().cast(SCHEMA)
    write_deltalake(f"{lake}/usage_events", theirs, mode="overwrite")
    move(database, lake, FAR_AHEAD)
    assert refresh(at(database, lake)).usage_count == 3
    shutil.copytree(lake, tmp_path / "older")
    erase_user(at(database, lake), str(uuid.UUID(int=1)))
    assert refresh(at(database, lake)).usage_count == 2
    shutil.rmtree(lake)
    shutil.copytree(tmp_path / "older", lake)
    with pytest.raises(LostDaysError, match="claim-lake --discard"):
        refresh(at(database, lake))
