"""Reports why a command failed. This module is imported only then."""

from __future__ import annotations

import logging
import traceback
from contextlib import closing, suppress

import psycopg
from sqlalchemy.exc import DBAPIError

from pipeline.cli.context import messages
from pipeline.database.connections import Fault, cause_of, fault_of
from pipeline.errors import PromptStatsError, readable
from pipeline.redaction import redacted

logger = logging.getLogger(__name__)


def complain(error: Exception) -> None:
    """Writes the error to standard error, or to the log if one is written."""
    text = _told(error)
    if logging.getLogger().handlers:
        logger.error(text)
        return
    messages.print(text, style="red", soft_wrap=True)


def _told(error: Exception) -> str:
    if isinstance(error, PromptStatsError):
        return str(error)
    if isinstance(error, DBAPIError | psycopg.Error):
        return f"Talking to the database: {readable(cause_of(error))}. {_remedy(error)}."
    # A bug of ours, with its traceback. Messages of engines in it may repeat an address.
    return redacted("".join(traceback.format_exception(error)))


def _remedy(error: Exception) -> str:
    fault = fault_of(error)
    if fault is Fault.RIGHT:
        # The doctor's libraries take a moment to import.
        from pipeline.health.doctor.rights import lacking
        from pipeline.health.doctor.setup import Setup

        with suppress(PromptStatsError, DBAPIError, psycopg.Error), closing(Setup()) as setup:
            return lacking(setup, str(cause_of(error))) or fault.value
    return fault.value
