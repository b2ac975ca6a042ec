"""All checks, and how they are made. ``docs/checks.md`` is this list as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psycopg
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import cause_of, fault_of
from pipeline.database.tables import prompt_daily_stats, prompt_stats
from pipeline.errors import PromptStatsError, TableLockedError, readable
from pipeline.health.checks import clocks, days, events, files, recount, source_schema, sums
from pipeline.health.checks.report import Cadence, Check, Report, Severity
from pipeline.installation import Installation
from pipeline.lake.source_table import require_first_day
from pipeline.lake.usage_events import TABLE

CHECKS = (
    Check(
        "stats_are_fresh",
        prompt_stats.name,
        Severity.ERROR,
        Cadence.HOURLY,
        "Compares `as_of` with the database's clock. The stats may be 30 minutes old, those of users 3"
        " hours, those by value 36 hours.",
        "If the check names a transaction that has been writing for long, end it: nothing later can be"
        " counted before it ends. Otherwise see whether the schedules run and why runs fail, or run"
        " `prompt-stats refresh`.",
        clocks.stats_are_fresh,
    ),
    Check(
        "stats_add_up",
        prompt_daily_stats.name,
        Severity.ERROR,
        Cadence.HOURLY,
        "Compares the sums by day, scene, environment and outfit with the totals, of each prompt and of"
        " all. If counters are written back, it also counts how many in `prompts` differ. It reports"
        " them only if the last refresh wrote them, since an app may keep counting as well.",
        "A stats table was changed by hand, or this is a bug. `prompt-stats reconcile` compares"
        " everything and repairs it; please report the bug if nobody changed the table. In `prompts`,"
        " the next refresh writes the rows that the app had locked. If the check says that a trigger is"
        " in the way, `prompt-stats doctor` names it.",
        sums.stats_add_up,
    ),
    Check(
        "lake_equals_postgres",
        TABLE,
        Severity.ERROR,
        Cadence.HOURLY,
        "Compares the count and the largest transaction id of the last 7 days with the raw rows. Older"
        " days are compared with what was published, or with what was recorded when their raw rows"
        " expired.",
        "Run `prompt-stats backfill --from DAY --to DAY` for the days named, or `prompt-stats"
        " reconcile` for all. Days whose raw rows Postgres no longer has can only be restored from the"
        " lake's backup.",
        days.lake_equals_postgres,
    ),
    Check(
        "lake_is_whole",
        TABLE,
        Severity.ERROR,
        Cadence.HOURLY,
        "Checks whether each file of the lake exists, has its length, and ends as it should, and whether"
        " the lake still has all events of expired days.",
        "Run `prompt-stats reconcile`, which rebuilds the days whose raw rows Postgres still has."
        " Restore the other days named from the lake's backup, then run `prompt-stats refresh`.",
        files.lake_is_whole,
    ),
    Check(
        "source_fits",
        TABLE,
        Severity.ERROR,
        Cadence.HOURLY,
        "Compares the columns, types and triggers of the app's tables, and the default of `ingest_xid`,"
        " with what the pipeline needs. Columns that the app has added are only listed.",
        "A migration of the app changed a table. Undo that change, then run `prompt-stats reconcile`:"
        " rows that were written or changed meanwhile may not be counted.",
        source_schema.source_fits,
    ),
    Check(
        "prompts_exist",
        prompt_stats.name,
        Severity.WARN,
        Cadence.HOURLY,
        "Looks for prompts that were used on the day of `as_of` and are not in `prompts`.",
        "If the prompt was deleted today there is nothing to do: its events still count, and the"
        " warning ends tomorrow. Otherwise an app sends wrong ids.",
        events.prompts_exist,
    ),
    Check(
        "no_events_rejected",
        TABLE,
        Severity.WARN,
        Cadence.HOURLY,
        "Counts the events that could not be taken; they are in no statistic.",
        "See why with `prompt-stats rejected list`, fix the cause, then run `prompt-stats rejected"
        " replay --all` or `prompt-stats rejected discard --all`.",
        events.no_events_rejected,
    ),
    Check(
        "no_events_held_back",
        TABLE,
        Severity.WARN,
        Cadence.HOURLY,
        "Counts the events dated more than one day ahead; they are not counted until their day comes.",
        "Find the producer with the wrong clock. Give its rows of `prompt_usage` the right"
        " `created_at`, or delete them: the stats follow.",
        events.no_events_held_back,
    ),
    Check(
        "clocks_agree",
        TABLE,
        Severity.WARN,
        Cadence.HOURLY,
        "Compares the database's clock with this machine's, and `created_at` of the events of the last"
        " two hours with the moment at which they arrived.",
        "Synchronise the clocks over the network (NTP). Events of a clock that is ahead may count on"
        " the wrong day.",
        clocks.clocks_agree,
    ),
    Check(
        "prompts_equal_recount",
        prompt_stats.name,
        Severity.ERROR,
        Cadence.NIGHTLY,
        "Recounts the 10 most used prompts, and 40 others each night, from the raw events. Each day,"
        " the total, scenes, environments, outfits and users have to be equal, percentiles within their"
        " bounds. It also compares the stats of all prompts with the sum over the prompts.",
        "Run `prompt-stats reconcile`, which compares everything and repairs it. Please report a bug if"
        " nobody changed the stats or the lake.",
        recount.prompts_equal_recount,
    ),
    Check(
        "lake_can_be_read",
        TABLE,
        Severity.ERROR,
        Cadence.NIGHTLY,
        "Reads every file of the lake to its end.",
        "Run `prompt-stats reconcile`, which rebuilds the days whose raw rows Postgres still has."
        " Restore the other days named from the lake's backup, then run `prompt-stats refresh`.",
        files.lake_can_be_read,
    ),
    Check(
        "values_are_usable",
        TABLE,
        Severity.WARN,
        Cadence.NIGHTLY,
        "Counts the events with an unusable generation time: NaN, infinity, or more than an integer"
        " holds. They count, but without a time.",
        "Use the events named to find what writes them. Give these rows of `prompt_usage` a time, or"
        " NULL: the stats follow.",
        events.values_are_usable,
    ),
    Check(
        "posts_have_events",
        TABLE,
        Severity.WARN,
        Cadence.NIGHTLY,
        "Compares posts that were made from a prompt, and are at least an hour old, with the events.",
        "Some code of the app does not track. `prompt-stats track-missing` appends the missing events.",
        events.posts_have_events,
    ),
    Check(
        "usage_is_usual",
        prompt_daily_stats.name,
        Severity.WARN,
        Cadence.NIGHTLY,
        "Compares the events of the last finished day with the median of the same weekday in the 8"
        " weeks before. With fewer than 4 such weeks it passes.",
        "Ask whether there was an outage, a launch or a holiday. Fewer events than usual may mean that"
        " an app no longer tracks, more may mean that it tracks twice.",
        days.usage_is_usual,
    ),
)


FAULTS = (PromptStatsError, DBAPIError, psycopg.Error)


def make_all(installation: Installation, checks: Iterable[Check] = CHECKS) -> Iterator[tuple[Check, Report]]:
    """Makes the checks in turn. A check that can't be made has failed.

    If a check has waited for a table in vain, the rest fails without waiting again.
    """
    locked: TableLockedError | None = None
    for check in checks:
        if locked is None:
            try:
                yield check, _make(check, installation)
            except TableLockedError as error:
                locked = error
            except FAULTS as error:
                yield check, _not_made(error)
        if locked is not None:
            yield check, _not_made(locked)


def make(check: Check, installation: Installation) -> Report:
    """Makes one check."""
    [(_, report)] = make_all(installation, [check])
    return report


def _make(check: Check, installation: Installation) -> Report:
    with installation.database.engine.connect() as connection:
        require_first_day(connection, installation.first_day)
    return check.make(installation)


def _not_made(error: Exception) -> Report:
    if isinstance(error, PromptStatsError):
        why = str(error).rstrip(".")
    else:
        why = f"{readable(cause_of(error))}. {fault_of(error).value}"
    return Report(passed=False, summary=f"The check can't be made: {why}")
