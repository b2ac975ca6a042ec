"""The database and the lake, as a Dagster resource."""

import datetime as dt

import dagster as dg
from pydantic import PrivateAttr

from pipeline.database import Database
from pipeline.settings import settings


class Stores(dg.ConfigurableResource["Stores"]):
    """Where the data is. What is not configured here comes from the environment.

    ``lake_uri``: the root of the lake. ``start_date``: the first partition's day, ISO format.
    """

    lake_uri: str | None = None
    start_date: str | None = None

    _database: Database | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Connects; the run's id becomes the connections' name, so that a slow query names its run."""
        self._database = Database.from_settings(settings(), f"prompt-stats {context.run_id or ''}".strip())

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Closes the connections."""
        del context
        if self._database:
            self._database.engine.dispose()

    @property
    def database(self) -> Database:
        """The database; available while a run or a tick uses the resource."""
        if self._database is None:
            self._database = Database.from_settings(settings())
        return self._database

    @property
    def lake(self) -> str:
        """The lake's root."""
        return self.lake_uri or settings().lake

    @property
    def first_day(self) -> dt.date:
        """The first partition's day."""
        return dt.date.fromisoformat(self.start_date) if self.start_date else settings().start_date
