"""The database and the lake, as a Dagster resource."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from pipeline.adoption.schema import require_own_views
from pipeline.database.connections import Database
from pipeline.installation import Installation
from pipeline.lake.flow import OnProgress
from pipeline.settings import Settings


class Stores:
    """The database and the lake. It is a plain object, because none of it is Dagster configuration.

    It connects on first use, so that the definitions load without a database.
    """

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        """``database``: used instead of the one that the settings name."""
        self.lake = settings.lake
        self.retain_days = settings.retain_days
        self.days_per_run = settings.days_per_run
        self.write_back: bool = (database or settings).write_back
        self.settings = settings
        self.progress: OnProgress = lambda _progress: None
        """The callback for the progress of a read of raw events, for a job that runs in this process."""
        self.repaired: dict[dt.date, str] = {}
        """Days whose damaged files were rebuilt, with the damage, for a job that runs in this process."""
        self._given = database

    @cached_property
    def database(self) -> Database:
        """The database. The first use starts the embedded server if that is the database.

        :raises DatabaseError: it can't be used.
        """
        database = self._given or Database.from_settings(self.settings)
        require_own_views(database)
        return database

    @property
    def installation(self) -> Installation:
        """The installation that every step works on.

        :raises DatabaseError: the database can't be used.
        """
        return Installation.of(self.settings, self.database)

    @contextmanager
    def installation_of_run(self, run_id: str) -> Iterator[Installation]:
        """The installation with connections that carry the run's id, so that a slow query names its run."""
        database = self.database.named(name_of_run(run_id))
        try:
            yield Installation.of(self.settings, database)
        finally:
            database.close()


def name_of_run(run_id: str) -> str:
    """The name of a run's connections."""
    return f"prompt-stats {run_id}"
