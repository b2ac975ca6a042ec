"""The environment: which variables are set, and which of them nobody reads."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.health.doctor.findings import Finding, ok, warning, wrong
from pipeline.health.doctor.setup import Setup
from pipeline.settings import Variable, variables


def environment(_setup: Setup) -> Iterator[Finding]:
    """A line for each variable that is set."""
    given = variables()
    if not given:
        yield ok("environment", "no variable is set, so everything is in .prompt-stats in this folder")
    yield from map(_judge, given)


def _judge(given: Variable) -> Finding:
    if given.fault:
        return wrong(given.name, given.fault.wrong, given.fault.remedy)
    if not given.is_known:
        remedy = "Unset it; docs/configuration.md lists all"
        if given.alike:
            remedy = f"If {given.alike} is meant, set that; else unset it"
        return warning(given.name, "this variable is not one of prompt-stats and has no effect", remedy)
    return ok(given.name, given.value or "it is set, and not shown")
