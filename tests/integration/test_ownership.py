"""A lake has one owner: the states of docs/decisions/0015-lake-ownership.md, and cases from the field."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pipeline.adoption.schema import migrate, undo
from pipeline.alerts.evaluation import evaluate
from pipeline.database.connections import Database
from pipeline.errors import LakeOwnerError
from pipeline.lake.delta_table import WRITER, DailyTable
from pipeline.lake.ownership import OWNER, Ownership, identify
from pipeline.lake.upkeep import keep_up
from pipeline.lake.usage_events import SCHEMA, claim_lake, open_usage_events, sync_days
from pipeline.maintenance.coverage import track_missing
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.reconcile import reconcile
from pipeline.maintenance.retention import retain
from pipeline.publish.publish import publish
from pipeline.publish.values import publish_values
from pipeline.refresh import plan_refresh, refresh
from pipeline.settings import Settings, settings
from tests.app import at
from tests.cli import invoke
from tests.clusters import Cluster, copy_of_cluster, running_cluster
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount

PROMPT = "00000000-0000-4000-8000-000000000007"
APPEND = """
INSERT INTO prompt_usage (prompt_id, user_id, success, created_at)
SELECT %s, gen_random_uuid(), true, now() - %s * interval '1 day' FROM generate_series(1, %s)
"""


def append(database: Database, events: int, days_ago: int = 0) -> None:
    """Some events of a day."""
    with psycopg.connect(database.conninfo) as app:
        app.execute(APPEND, (PROMPT, days_ago, events))


def execute(database: Database, statement: str) -> None:
    with psycopg.connect(database.conninfo, autocommit=True) as operator:
        operator.execute(statement.encode())


def published(database: Database) -> int | None:
    """The events that the published stats count."""
    with psycopg.connect(database.conninfo) as reader:
        row = reader.execute("SELECT sum(usage_count)::int FROM prompt_stats").fetchone()
        assert row
        return int(row[0]) if row[0] is not None else None


def refreshed(database: Database, lake: str) -> int:
    """What a refresh counts, which equals the recount."""
    counted = refresh(at(database, lake)).usage_count
    assert_equals_recount(database, FIRST_DAY)
    return counted


def ownership(database: Database, lake: str) -> Ownership:
    with database.engine.connect() as connection:
        return identify(connection, open_usage_events(lake))


def files(lake: str) -> dict[str, float]:
    """Every file of the lake, and when it was written."""
    return {str(path): path.stat().st_mtime for path in Path(lake).rglob("*") if path.is_file()}


@contextmanager
def untouched(lake: str, *databases: Database) -> Iterator[None]:
    """Nothing in the lake and nothing that is published changes during a block."""
    before = files(lake), [published(each) for each in databases]
    yield
    assert (files(lake), [published(each) for each in databases]) == before


@contextmanager
def copy_of(database: Database, new_database: NewDatabase) -> Iterator[Database]:
    """What ``CREATE DATABASE … TEMPLATE`` makes of it."""
    database.close()
    with new_database(str(psycopg.conninfo.conninfo_to_dict(database.conninfo)["dbname"])) as copy:
        yield copy


REFUSED: dict[str, Callable[[Database, str], object]] = {
    "plan": lambda database, lake: plan_refresh(at(database, lake)),
    "sync": lambda database, lake: sync_days(at(database, lake), []),
    "refresh": lambda database, lake: refresh(at(database, lake)),
    "publish": lambda database, lake: publish(at(database, lake)),
    "stats by value": lambda database, lake: publish_values(at(database, lake)),
    "reconcile": lambda database, lake: reconcile(at(database, lake)),
    "retain": lambda database, lake: retain(at(database, lake), 1),
    "erase-user": lambda database, lake: erase_user(at(database, lake), PROMPT),
    "keep-up": lambda database, lake: keep_up(at(database, lake)),
    "track-missing": lambda database, lake: track_missing(at(database, lake)),
    "alerts": lambda database, lake: evaluate(
        database, Settings.model_validate({"PROMPT_STATS_LAKE_URI": lake})
    ),
}


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED)
def test_a_copy_is_refused_before_anything_is_read_or_written(
    database: Database, new_database: NewDatabase, lake: str, use: Callable[[Database, str], object]
) -> None:
    append(database, 5)
    refreshed(database, lake)
    with copy_of(database, new_database) as copy:
        append(copy, 20)
        with (
            untouched(lake, database, copy),
            pytest.raises(LakeOwnerError, match=r"a copy of.*claim-lake"),
        ):
            use(copy, lake)
    append(database, 1)
    assert refreshed(database, lake) == 6


def test_a_copy_may_claim_the_lake_and_the_former_owner_is_refused(
    database: Database, new_database: NewDatabase, lake: str
) -> None:
    append(database, 5)
    append(database, 2, days_ago=9)
    refreshed(database, lake)
    retain(at(database, lake), 3)
    with copy_of(database, new_database) as copy:
        append(copy, 20)
        assert claim_lake(at(copy, lake))
        # The expired day is in the lake alone.
        assert refresh(at(copy, lake)).usage_count == 27
        assert not claim_lake(at(copy, lake))
        append(database, 1)
        with untouched(lake, database), pytest.raises(LakeOwnerError, match="another database"):
            refresh(at(database, lake))


def test_two_databases_on_one_lake(
    database: Database, new_database: NewDatabase, migrated_template: str, lake: str
) -> None:
    append(database, 5)
    refreshed(database, lake)
    with new_database(migrated_template) as other:
        append(other, 20)
        with untouched(lake, database, other):
            for _ in range(2):
                with pytest.raises(LakeOwnerError, match="--discard"):
                    refresh(at(other, lake))
            with pytest.raises(LakeOwnerError, match="may have its past only there"):
                claim_lake(at(other, lake))
        append(database, 1)
        assert refreshed(database, lake) == 6
        assert claim_lake(at(other, lake), discard=True)
        assert refreshed(other, lake) == 20
        with pytest.raises(LakeOwnerError):
            refresh(at(database, lake))


def test_a_database_whose_expired_days_are_elsewhere_takes_no_other_lake(
    database: Database, new_database: NewDatabase, migrated_template: str, lake: str, tmp_path: Path
) -> None:
    append(database, 2)
    append(database, 3, days_ago=9)
    refreshed(database, lake)
    retain(at(database, lake), 3)
    empty = str(tmp_path / "empty")
    with pytest.raises(LakeOwnerError, match=r"1 days whose raw rows were removed.*restore it"):
        refresh(at(database, empty))
    with new_database(migrated_template) as other:
        append(other, 1)
        refresh(at(other, str(tmp_path / "other")))
    with pytest.raises(LakeOwnerError, match="are only in another lake"):
        claim_lake(at(database, str(tmp_path / "other")), discard=True)
    assert published(database) == 5
    assert refresh(at(database, lake)).usage_count == 5


def test_a_lost_lake_without_expired_days_is_filled_again(
    database: Database, lake: str, tmp_path: Path
) -> None:
    append(database, 5)
    refreshed(database, lake)
    shutil.rmtree(lake)
    assert refreshed(database, lake) == 5
    assert ownership(database, lake) is Ownership.KNOWN
    assert refreshed(database, str(tmp_path / "another")) == 5


@pytest.mark.parametrize("is_copy", [False, True], ids=["an empty folder", "a copy of before"])
def test_of_two_lakes_of_one_database_the_last_that_was_used_is_its_own(
    database: Database, lake: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, is_copy: bool
) -> None:
    other = str(tmp_path / "other")
    append(database, 5)
    append(database, 2, days_ago=9)
    refreshed(database, lake)
    if is_copy:
        shutil.copytree(lake, other)
        append(database, 1)
        refreshed(database, lake)
    with psycopg.connect(database.conninfo) as app:
        app.execute("DELETE FROM prompt_usage WHERE created_at < now() - interval '5 days'")
    # What is published from the other settles the note of the deletion, of which the first knows nothing.
    counted = refreshed(database, other)
    assert (f"{other}/usage_events/ is empty. Everything is read again." in caplog.text) != is_copy
    with untouched(lake, database), pytest.raises(LakeOwnerError, match="this one used it before"):
        refresh(at(database, lake))
    assert published(database) == counted == refreshed(database, other)


def test_a_lake_of_before_undo_is_refused(database: Database, lake: str) -> None:
    append(database, 5)
    refreshed(database, lake)
    undo(database)
    migrate(database)
    with untouched(lake), pytest.raises(LakeOwnerError, match="before migrate --undo"):
        refresh(at(database, lake))
    assert claim_lake(at(database, lake), discard=True)
    assert refreshed(database, lake) == 5


def test_a_lake_of_a_version_without_tokens_is_read_anew_once(
    database: Database, new_database: NewDatabase, migrated_template: str, lake: str
) -> None:
    append(database, 5)
    refreshed(database, lake)
    unsigned = Path(lake) / "unsigned"
    old = DailyTable(str(unsigned), "usage_events", SCHEMA)
    old.append(open_usage_events(lake).read().to_table().select(SCHEMA.names))
    execute(database, "DELETE FROM stats_lake_token")
    with (
        new_database(migrated_template) as other,
        pytest.raises(LakeOwnerError, match="has not written since"),
    ):
        refresh(at(other, str(unsigned)))
    append(database, 1)
    assert ownership(database, str(unsigned)) is Ownership.UNKNOWN
    assert refreshed(database, str(unsigned)) == 6
    assert ownership(database, str(unsigned)) is Ownership.KNOWN


def test_a_crash_between_record_and_commit_reads_nothing_again(database: Database, lake: str) -> None:
    append(database, 5)
    refreshed(database, lake)
    execute(database, "INSERT INTO stats_lake_token SELECT 17, lake_id, server FROM stats_lake_token LIMIT 1")
    assert plan_refresh(at(database, lake)).days == []
    version = open_usage_events(lake).transaction(WRITER)
    refreshed(database, lake)
    assert open_usage_events(lake).transaction(WRITER) == version
    with psycopg.connect(database.conninfo) as reader:
        assert reader.execute("SELECT token FROM stats_lake_token").fetchall() == [(version,)]


def test_the_command(database: Database, lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(database, 5)
    refreshed(database, lake)
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", lake)
    settings.cache_clear()
    assert "already" in invoke("claim-lake").stdout
    execute(database, "UPDATE stats_lake_token SET server = 'another/1'")
    # Its frames hold connections: they have to be gone before the next command collects what is left.
    refused = invoke("refresh")
    code, said = refused.exit_code, str(refused.exception)
    del refused
    assert code == 1
    assert "prompt-stats claim-lake" in said
    assert invoke("claim-lake", "--json").stdout.strip() == '{\n  "is_new_owner": true\n}'
    assert invoke("refresh").exit_code == 0
    settings.cache_clear()
    assert_equals_recount(database, FIRST_DAY)


def test_a_lake_of_before_is_given_up_when_somebody_says_so(
    database: Database, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(database, 5)
    refreshed(database, lake)
    refreshed(database, str(tmp_path / "another"))
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", lake)
    settings.cache_clear()
    with untouched(lake, database):
        refused = invoke("claim-lake")
        said = str(refused.exception)
        del refused
        assert "one used it before its present lake" in said
        asked = invoke("claim-lake", "--discard")
    assert (asked.exit_code, "Pass --yes" in asked.stderr) == (2, True)
    assert invoke("claim-lake", "--discard", "--yes").exit_code == 0
    settings.cache_clear()
    assert refreshed(database, lake) == 5


# Physical copies, on servers of their own.


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as cluster:
        yield cluster


def test_a_data_folder_that_was_put_back(primary: Cluster, lake: str, tmp_path: Path) -> None:
    database = primary.database()
    append(database, 5)
    append(database, 3, days_ago=9)
    refreshed(database, lake)
    retain(at(database, lake), 3)
    database.close()
    kept = tmp_path / "kept"
    primary.keep(kept)
    database = primary.database()
    append(database, 4)
    append(database, 1, days_ago=9)
    refresh(at(database, lake))
    database.close()
    primary.put_back(kept)
    database = primary.database()
    append(database, 2)
    assert ownership(database, lake) is Ownership.UNKNOWN
    # Those of the expired day are in the lake alone, and so is the one that came late.
    assert refresh(at(database, lake)).usage_count == 7 + 4
    append(database, 1)
    assert refresh(at(database, lake)).usage_count == 8 + 4
    database.close()


def test_a_failover_that_lost_nothing_reads_nothing_anew(primary: Cluster, lake: str, tmp_path: Path) -> None:
    database = primary.database()
    append(database, 5)
    append(database, 2, days_ago=9)
    refreshed(database, lake)
    with copy_of_cluster(primary, tmp_path / "standby", is_standby=True) as standby:
        append(database, 1)
        refreshed(database, lake)
        standby.catch_up_with(primary)
        database.close()
        primary.crash()
        standby.promote()
        database = standby.database()
        owner = open_usage_events(lake).transaction(OWNER)
        assert plan_refresh(at(database, lake)).days == []
        append(database, 1)
        assert len(plan_refresh(at(database, lake)).days) == 1
        assert refreshed(database, lake) == 9
        assert open_usage_events(lake).transaction(OWNER) == owner
        database.close()


def test_a_failover_that_lost_the_last_transactions(primary: Cluster, lake: str, tmp_path: Path) -> None:
    """Their ids are given out again, to other rows."""
    database = primary.database()
    append(database, 5)
    refreshed(database, lake)
    with copy_of_cluster(primary, tmp_path / "standby", is_standby=True) as standby:
        standby.catch_up_with(primary)
        standby.stop_following()
        append(database, 4)
        refreshed(database, lake)
        database.close()
        primary.crash()
        # Started anew it has what it replayed, and nothing comes after that.
        standby.crash()
        standby.start()
        standby.promote()
        database = standby.database()
        append(database, 2)
        append(database, 1, days_ago=5)
        with psycopg.connect(database.conninfo) as reader:
            row = reader.execute("SELECT count(*)::int FROM prompt_usage").fetchone()
        assert row
        assert refreshed(database, lake) == row[0]
        database.close()


def test_of_two_physical_copies_that_write_one_stops(primary: Cluster, lake: str, tmp_path: Path) -> None:
    original = primary.database()
    append(original, 5)
    refreshed(original, lake)
    with copy_of_cluster(primary, tmp_path / "clone", is_standby=False) as server:
        clone = server.database()
        append(clone, 20)
        assert refreshed(clone, lake) == 25
        append(original, 1)
        # It can't know that the clone is alive: the lake is its own, with commits that it does not know.
        assert refreshed(original, lake) == 6
        append(clone, 1)
        for _ in range(2):
            with untouched(lake, clone, original), pytest.raises(LakeOwnerError, match="another database"):
                refresh(at(clone, lake))
        append(original, 1)
        assert refreshed(original, lake) == 7
        clone.close()
    original.close()
