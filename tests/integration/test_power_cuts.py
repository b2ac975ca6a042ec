"""A power cut at any moment is no worse than a crash: the next refresh publishes what the app has written.

A run is recorded, every state that a cut may leave is made anew, and from each the next refresh goes on. All
of them on demand: ``pytest tests/integration/test_power_cuts.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from deltalake import DeltaTable

from pipeline.database.connections import Database
from pipeline.lake.upkeep import lake_tables
from pipeline.maintenance.erasure import erase_user
from pipeline.refresh import plan_refresh, refresh
from tests.app import at
from tests.conftest import FIRST_DAY, NewDatabase
from tests.oracle import assert_equals_recount
from tests.power_cuts import (
    EVERYTHING,
    LEAVER,
    Recording,
    State,
    put,
    record,
    require_strace,
    restore,
    states,
)

FEW = 30
"""States that are tried if there is no time for all."""


@pytest.fixture(scope="module")
def database(new_database: NewDatabase, migrated_template: str) -> Iterator[Database]:
    """The database of the recording."""
    with new_database(migrated_template) as database:
        yield database


@pytest.fixture(scope="module")
def recording(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A run, recorded once."""
    require_strace()
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "above").mkdir()
    return record(database, folder)


def test_a_cut_at_any_moment_loses_nothing(
    database: Database, recording: Recording, request: pytest.FixtureRequest
) -> None:
    """The numbers equal the recount after the next refresh, those of expired days too."""
    found = list(states(recording))
    if request.config.getoption("--hypothesis-profile") != "thorough":
        found = found[:: -(-len(found) // FEW)]
    replay(database, recording, found)


def replay(database: Database, recording: Recording, found: list[State]) -> int:
    """Goes on from each of the states; those that are equal once the lake is opened count as one.

    Returns their number.
    """
    tried = set()
    for state in found:
        try:
            put(state.lake, recording.lake.parent)
            opened = (state.mark, _opened(str(recording.lake)))
            if opened not in tried:
                _go_on(database, recording, state)
        except Exception as error:
            error.add_note(state.title)
            raise
        tried.add(opened)
    return len(tried)


def _opened(lake: str) -> frozenset[tuple[str, bytes]]:
    """The files of all tables, and what is in them, once each table is opened."""
    names = [table.name for table in lake_tables(lake)]
    uris = [uri for name in names for uri in DeltaTable(f"{lake}/{name}").file_uris()]
    return frozenset((uri, Path(uri).read_bytes()) for uri in uris)


def test_partials_with_a_torn_log_are_computed_anew(database: Database, recording: Recording) -> None:
    """Whatever tore it: they follow from the raw events, so no refresh stops at them."""
    *_, last = (state for state in states(recording) if "refresh" in state.mark)
    restore(database, recording.database(last.mark))
    put(last.lake, recording.lake.parent)
    refresh(at(database, str(recording.lake)))
    for name in ("prompt_usage_daily", "prompt_usage_monthly", "prompt_user_total"):
        entry = recording.lake / name / "_delta_log" / f"{1:020}.json"
        entry.write_bytes(entry.read_bytes()[:400])
    refresh(at(database, str(recording.lake)))
    assert_equals_recount(database, FIRST_DAY, EVERYTHING)


def _go_on(database: Database, recording: Recording, state: State) -> None:
    restore(database, recording.database(state.mark))
    lake = str(recording.lake)
    report = refresh(at(database, lake))
    if state.mark.endswith("erasure"):
        # Half of it may be done; it has to be run again.
        assert erase_user(at(database, lake), str(LEAVER)).found == {}
        with psycopg.connect(database.conninfo) as app:
            app.execute(f"DELETE FROM {EVERYTHING} WHERE user_id = %s".encode(), [LEAVER])
    assert_equals_recount(database, FIRST_DAY, EVERYTHING)
    assert report.pending_days == []
    assert plan_refresh(at(database, lake)).days == []
