"""Servers of their own, whose data folders are copied, put back, and promoted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from pipeline.database.embedded.server import Server


class Cluster(Server):
    """A server whose data folder can be copied and put back."""

    def database(self) -> Database:
        """Its database."""
        return Database.from_url(self.conninfo())

    def crash(self) -> None:
        """Stops it hard."""
        self._run("Stopping hard", ["pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.data)])

    def keep(self, folder: Path) -> None:
        """Copies its data folder, as it is after a stop; the server goes on."""
        self.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.data, folder, symlinks=True)
        self.start()

    def put_back(self, folder: Path) -> None:
        """Replaces its data folder by a copy that :meth:`keep` made."""
        self.stop()
        shutil.rmtree(self.data)
        shutil.copytree(folder, self.data, symlinks=True)
        self._give(self.data, *self.data.rglob("*"))
        self.start()

    def stop_following(self) -> None:
        """A standby takes no more of its primary's transactions, but for those that it has replayed."""
        with psycopg.connect(self.conninfo(), autocommit=True) as operator:
            operator.execute("SELECT pg_wal_replay_pause()")
            operator.execute("ALTER SYSTEM SET primary_conninfo = ''")
            operator.execute("SELECT pg_reload_conf()")

    def catch_up_with(self, primary: Cluster) -> None:
        """Waits until this standby has replayed what the primary has written."""
        with (
            psycopg.connect(primary.conninfo(), autocommit=True) as there,
            psycopg.connect(self.conninfo(), autocommit=True) as here,
        ):
            row = there.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            assert row
            replayed = "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), %s::pg_lsn) >= 0"
            while here.execute(replayed, row).fetchone() != (True,):
                pass

    def promote(self) -> None:
        """Makes a primary of a standby."""
        with psycopg.connect(self.conninfo(), autocommit=True) as operator:
            operator.execute("SELECT pg_promote(wait => true)")


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A server with a migrated database, in a folder of its own."""
    folder.chmod(0o711)
    cluster = Cluster(_new_folder(folder / "primary"))
    cluster.initialise()
    cluster.start()
    try:
        cluster.create_database()
        database = cluster.database()
        migrate(database)
        database.close()
        yield cluster
    finally:
        if cluster.is_running():
            cluster.crash()


@contextmanager
def copy_of_cluster(primary: Cluster, root: Path, *, is_standby: bool) -> Iterator[Cluster]:
    """A base backup of a running server, started: a standby that follows it, or a server of its own."""
    copy = Cluster(_new_folder(root))
    copy._make_area()
    copy._write_private(root / "password", (primary.root / "password").read_text())
    command = ["pg_basebackup", "--pgdata", str(copy.data), "--dbname", primary.conninfo()]
    options = ["--checkpoint=fast", "--no-sync", *(["--write-recovery-conf"] if is_standby else [])]
    primary._run("Copying", [*command, *options])
    copy.start()
    try:
        yield copy
    finally:
        if copy.is_running():
            copy.crash()


def _new_folder(root: Path) -> Path:
    root.mkdir()
    root.chmod(0o711)
    return root
