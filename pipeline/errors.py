"""The errors that this package raises.

The tree::

    PromptStatsError
    ├── SettingsError        an environment variable has a value that can't be used
    ├── DatabaseError        the database can't be reached, is too old, or lacks something
    │   ├── DatabaseUnavailableError   it does not answer at present, or is a replica that lags
    │   │   └── TableLockedError   another session holds a table, or a row, for too long
    │   └── EmbeddedServerError   the embedded server can't be set up or started
    ├── InputError           what the caller gave can't be used: a file, a range, a prompt
    │   ├── NotFoundError    what the caller asked for does not exist
    │   └── AmbiguousError   what the caller asked for may be one of several
    ├── NotificationError    a message could not be sent
    ├── EngineError          the engine of the rollups can't be used, or does not see the lake
    └── LakeError            the lake can't be read or written
        ├── LakeConflictError    another process wrote first: run the step again
        ├── LakeOwnerError       it belongs to another database, or this one's lake is elsewhere
        ├── LakeFlushError       what was written to the lake can't be flushed to disk
        └── LostDaysError        the lake lost days that Postgres no longer has; all else was done

Each text says what was attempted, what was wrong, and what to do. Addresses in it have no credentials.
"""

from __future__ import annotations

import re

from pipeline.redaction import redacted


class PromptStatsError(Exception):
    """Base of all errors of this package.

    ``attempted``, ``wrong`` and ``remedy`` are sentences without a final full stop; together they are
    the message.
    """

    def __init__(self, attempted: str, wrong: str, remedy: str) -> None:
        self.attempted, self.wrong, self.remedy = map(redacted, (attempted, wrong, remedy))
        super().__init__(f"{self.attempted}: {self.wrong}. {self.remedy}.")

    def __reduce__(self) -> tuple[type[PromptStatsError], tuple[str, str, str]]:
        # Dagster and multiprocessing pickle errors; the default would call __init__ with one argument.
        return type(self), (self.attempted, self.wrong, self.remedy)


class SettingsError(PromptStatsError):
    """An environment variable has a value that can't be used."""


class DatabaseError(PromptStatsError):
    """The database can't be reached, is too old, or lacks something."""


class DatabaseUnavailableError(DatabaseError):
    """At present the database does not answer, refuses the connection, or is a replica that lags."""


class TableLockedError(DatabaseUnavailableError):
    """Another session held a lock for too long. The statement that waited for it did nothing."""


class EmbeddedServerError(DatabaseError):
    """The embedded server can't be set up or started."""


class InputError(PromptStatsError):
    """What the caller gave can't be used."""


class NotFoundError(InputError):
    """What the caller asked for does not exist."""


class AmbiguousError(InputError):
    """What the caller asked for may be one of several."""


class NotificationError(PromptStatsError):
    """A message could not be sent."""


class EngineError(PromptStatsError):
    """The engine of the rollups can't be used: it is missing, does not answer, or does not see the lake."""


class LakeError(PromptStatsError):
    """The lake can't be read or written."""


class LostDaysError(LakeError):
    """The lake lost days that Postgres no longer has. Everything that does not need them was done."""


class LakeConflictError(LakeError):
    """Another process wrote first. Running the step again is enough."""


class LakeOwnerError(LakeError):
    """The lake belongs to another database, or this database's data is in another lake."""


class LakeFlushError(LakeError):
    """The commit exists, but a power cut may still undo it, so nothing may rely on it yet."""


def readable(error: BaseException) -> str:
    """A library's error text as part of a sentence: one line without colours, secrets and full stop."""
    return redacted(" ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split()).rstrip("."))
