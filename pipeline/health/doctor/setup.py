"""The settings and the database that the doctor examines."""

from __future__ import annotations

from functools import cached_property

from pipeline.database.connections import Database
from pipeline.errors import DatabaseError
from pipeline.installation import Installation
from pipeline.settings import Settings, settings


class Setup:
    """An installation that is read and connected on first use.

    :raises PromptStatsError: from whatever is asked for.
    """

    @property
    def settings(self) -> Settings:
        """The environment."""
        return settings()

    @cached_property
    def database(self) -> Database:
        """The database. An embedded server is started, but not made."""
        home = self.settings.home
        if not self.settings.database_url and not (home / "postgres").exists():
            raise DatabaseError(
                "Connecting to the database",
                f"DATABASE_URL is not set, and there is no embedded server in {home}",
                "Set DATABASE_URL, or run prompt-stats migrate to create the embedded server",
            )
        return Database.from_settings(self.settings, "prompt-stats doctor")

    @property
    def installation(self) -> Installation:
        """What checks are given."""
        return Installation.of(self.settings, self.database)

    def close(self) -> None:
        """Closes what was opened."""
        if "database" in vars(self):
            self.database.close()
