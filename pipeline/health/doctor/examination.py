"""The examination: runs all steps in order, and makes each fault a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError

from pipeline.database.connections import Fault, cause_of, fault_of
from pipeline.errors import PromptStatsError, TableLockedError, readable
from pipeline.health.doctor import folders, rights, schema, server, source, trial, variables
from pipeline.health.doctor.findings import Finding, Status, unchecked, wrong
from pipeline.health.doctor.setup import Setup

Look = Callable[[Setup], Iterable[Finding]]


@dataclass(frozen=True)
class Step:
    """One step. ``after``: steps that have to find nothing wrong, since this one would only repeat them."""

    name: str
    look: Look
    after: tuple[str, ...] = ("connection",)


STEPS = (
    Step("environment", variables.environment, ()),
    Step("home", folders.home, ("environment",)),
    Step("lake", folders.lake, ("environment",)),
    Step("journal", folders.journal, ("environment",)),
    Step("connection", server.connection, ("environment",)),
    Step("sessions", server.sessions),
    Step("clock", server.clock),
    Step("time zone", server.time_zone),
    Step("transactions", server.transactions),
    Step("search path", server.search_path),
    Step("revision", schema.revision, ("search path",)),
    Step("rights", rights.rights, ("revision",)),
    Step("open tables", rights.open_relations, ("revision",)),
    Step("tables", schema.tables, ("search path",)),
    Step("indexes", schema.indexes, ("revision",)),
    Step("writing", schema.writing, ("revision",)),
    Step("the app's triggers", trial.triggers, ("revision", "rights")),
    Step("changes", source.changes, ("revision", "rights")),
    Step("lag", schema.lag, ("revision",)),
    Step("events", folders.events, ("revision", "lake")),
    Step("lake's files", folders.files, ("revision", "lake")),
)


READERS = ("search path", "revision")
"""The steps that read tables come after these."""


def examine(dagster: Look) -> Iterator[Finding]:
    """Runs all steps, and ``dagster``, the step that only ``pipeline/orchestration`` has.

    It raises no errors, since every fault is a finding.
    """
    setup = Setup()
    # By step that can't be relied on, the one with the fault.
    blamed: dict[str, str] = {}
    for step in (*STEPS, Step("Dagster", dagster, ("environment",))):
        first = next((blamed[name] for name in step.after if name in blamed), None)
        try:
            found = [unchecked(step.name, first)] if first else _look(step, setup)
        except TableLockedError as error:
            found = [_said(step, error)]
            # Who waited for a table once does not wait for it in each step.
            blamed |= dict.fromkeys(READERS, step.name)
        if first or any(each.status is Status.WRONG for each in found):
            blamed[step.name] = first or step.name
        yield from found
    setup.close()


def _look(step: Step, setup: Setup) -> list[Finding]:
    try:
        return list(step.look(setup))
    except TableLockedError:
        raise
    except PromptStatsError as error:
        return [_said(step, error)]
    except (DBAPIError, psycopg.Error) as error:
        remedy = "See what the server's log says, and run it again"
        if fault_of(error) is Fault.RIGHT:
            remedy = rights.grant(setup)
        return [wrong(step.name, readable(cause_of(error)), remedy)]
    except Exception as error:
        # Whatever it is, the other steps may say why.
        said = f"{type(error).__name__}: {readable(error)}"
        return [wrong(step.name, said, "Fix what the text says; otherwise please report it with the text")]


def _said(step: Step, error: PromptStatsError) -> Finding:
    return wrong(step.name, f"{error.attempted}: {error.wrong}", error.remedy)
