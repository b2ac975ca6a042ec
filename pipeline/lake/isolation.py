"""Processes the other days if one of them fails."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterable

from pipeline.errors import LakeConflictError, LakeError, LakeFlushError
from pipeline.lake.storage import is_unreachable

logger = logging.getLogger(__name__)


def run_isolated(parts: Iterable[list[dt.date]], work: Callable[[list[dt.date]], None]) -> dict[dt.date, str]:
    """Calls ``work`` for each list of days. If that fails, calls it for each day of the list separately.

    Returns the days that failed separately, and why. Conflicts, commits that can't be flushed, faults of an
    object store, and faults outside the lake are raised, because they do not belong to a particular day.
    """
    failed: dict[dt.date, str] = {}
    for days in parts:
        try:
            work(days)
        except (LakeConflictError, LakeFlushError):
            raise
        except LakeError as error:
            if is_unreachable(error):
                raise
            if len(days) > 1:
                failed |= run_isolated([[day] for day in days], work)
            else:
                failed[days[0]] = f"{error.attempted}: {error.wrong}"
                logger.info("%s failed: %s", days[0], failed[days[0]], exc_info=True)
    return failed
