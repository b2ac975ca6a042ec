"""Random histories of a raw table with partitions, which come and go as well as its rows.

More steps on demand: ``pytest tests/properties --hypothesis-profile=thorough``.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from pipeline.refresh import refresh
from tests.conftest import NewDatabase
from tests.partitioned import TABLES, attach, bounds, partition, partitioned_template
from tests.properties import test_histories
from tests.properties.test_histories import (
    COPIED,
    COPY_TAKEN,
    COUNTED_ROWS,
    DAY,
    FORGED,
    FORGET_KEPT,
    History,
    beside_a_neighbour,
)

RANGES = {"part_a": (14, 8), "part_b": (8, 4), "part_c": (4, 0)}
"""By name, the ages of the days; what is older or younger is in the default partition."""

PARTITIONS = f"""
    CREATE TABLE part_a PARTITION OF prompt_usage {bounds(14, 8)} PARTITION BY HASH (id);
    CREATE TABLE part_a0 PARTITION OF part_a FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_a1 PARTITION OF part_a FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    {partition("part_b", *RANGES["part_b"])}
    {partition("part_c", *RANGES["part_c"])}
    CREATE TABLE other PARTITION OF prompt_usage DEFAULT;
"""
KEYLESS = TABLES.format(created_at="") + PARTITIONS
REFERRING = KEYLESS + "ALTER TABLE prompt_usage ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE;"
INSERT = """
    INSERT INTO prompt_usage (id, prompt_id, user_id, scene, success, generation_time_ms, created_at)
    SELECT %(id)s, %(prompt)s, %(user)s, %(scene)s, %(success)s, %(time)s, %(at)s
    WHERE NOT EXISTS (SELECT FROM prompt_usage WHERE id = %(id)s)
"""
"""No index sees to it that an event is there once."""

FORGED_ONCE = FORGED.replace(
    "ON CONFLICT DO NOTHING", "AND NOT EXISTS (SELECT FROM prompt_usage AS known WHERE known.id = forged.id)"
)
REWRITES = (
    "VACUUM FULL prompt_usage",
    "VACUUM FULL part_b",
    "ALTER TABLE prompt_usage ALTER scene TYPE varchar",
)
ATTACHED = "SELECT relid::regclass::text FROM pg_partition_tree('prompt_usage') WHERE level = 1"
COPY_PARTITION = f"""
    INSERT INTO expired_rows SELECT {COPIED}, {DAY} FROM prompt_usage
    WHERE tableoid IN (SELECT relid FROM pg_partition_tree(%s::regclass)) ON CONFLICT DO NOTHING
"""
NAMES = st.sampled_from(sorted(RANGES))


class PartitionedHistory(History):
    """The same app, on partitions."""

    @initialize(is_adopted=st.booleans())
    def the_app_begins(self, *, is_adopted: bool) -> None:
        """With its prompts and partitions, without or with foreign keys."""
        super().the_app_begins(is_adopted=is_adopted)
        self.patch.setattr(test_histories, "INSERT", INSERT)
        self.patch.setattr(test_histories, "FORGED", FORGED_ONCE)
        self.detached: set[str] = set()

    def attached(self) -> set[str]:
        """The partitions that there are."""
        return {name for (name,) in self.app.execute(ATTACHED)}

    @precondition(lambda self: self.slow is None)
    @rule(name=NAMES, is_dropped=st.booleans())
    def partition_goes(self, name: str, *, is_dropped: bool) -> None:
        """What a refresh has read of it is counted further."""
        if name not in self.attached():
            return
        refresh(self.installation)
        self.app.execute(COPY_TAKEN.encode())
        self.app.execute(COPY_PARTITION.encode(), (name,))
        self.app.execute("DROP VIEW counted_rows")
        if is_dropped:
            self.app.execute(f"DROP TABLE {name}".encode())
        else:
            self.app.execute(f"ALTER TABLE prompt_usage DETACH PARTITION {name}".encode())
            self.detached.add(name)
        self.app.execute(COUNTED_ROWS.encode())
        refresh(self.installation)
        self.app.execute(FORGET_KEPT.encode())

    @precondition(lambda self: self.slow is None)
    @rule(name=NAMES)
    def partition_comes(self, name: str) -> None:
        """With the rows that it had, or with none; not while the default partition has rows of its days."""
        if name in self.attached():
            return
        self.app.execute(COPY_TAKEN.encode())
        with suppress(psycopg.errors.CheckViolation):
            make = attach if name in self.detached else partition
            self.app.execute(make(name, *RANGES[name]).encode())
            self.detached.discard(name)
        refresh(self.installation)
        self.app.execute(FORGET_KEPT.encode())

    @precondition(lambda self: self.slow is None)
    @rule(name=NAMES)
    def truncate_partition(self, name: str) -> None:
        """All of it goes."""
        if name in self.attached():
            self.change(f"TRUNCATE {name}")

    @rule(name=NAMES, deletes=st.booleans(), scene=st.sampled_from(["", "studio"]))
    def change_in_partition(self, name: str, scene: str, *, deletes: bool) -> None:
        """A statement that names the partition itself."""
        if name in self.attached():
            what = f"DELETE FROM {name}" if deletes else f"UPDATE {name} SET success = false"
            self.change(f"{what} WHERE scene = %s", (scene,))

    @precondition(lambda self: self.slow is None)
    @rule(rewrite=st.sampled_from(REWRITES))
    def rewrite_table(self, rewrite: str) -> None:
        """Files of partitions are others, with the same rows."""
        if rewrite.split()[-1] in RANGES and rewrite.split()[-1] not in self.attached():
            return
        super().rewrite_table(rewrite)


@pytest.mark.parametrize("examples", [2])
def test_histories_of_partitions(
    request: pytest.FixtureRequest, new_database: NewDatabase, examples: int
) -> None:
    class TestedHistory(PartitionedHistory):
        """The machine on this session's server."""

    thorough = request.config.getoption("--hypothesis-profile") == "thorough"
    with (
        partitioned_template(new_database, KEYLESS) as keyless,
        partitioned_template(new_database, REFERRING) as referring,
        beside_a_neighbour(new_database, keyless) as own,
        beside_a_neighbour(new_database, referring) as adopted,
    ):
        TestedHistory.fresh_database = new_database
        TestedHistory.templates = own, adopted
        run_state_machine_as_test(
            TestedHistory,
            settings=settings(
                max_examples=60 if thorough else examples,
                stateful_step_count=50 if thorough else 30,
                deadline=None,
                # As for the other histories.
                phases=[Phase.explicit, Phase.reuse, Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
