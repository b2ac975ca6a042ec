"""``check``, ``doctor``."""

from __future__ import annotations

from dataclasses import asdict

from pipeline.cli import render
from pipeline.cli.context import (
    AsJson,
    console,
    open_installation,
    print_json,
    working,
)
from pipeline.cli.terminal import literal
from pipeline.errors import PromptStatsError


def check(*, as_json: AsJson = False) -> None:
    """Check that the stats are fresh, complete and equal to a recount. Say what to do if they are not."""
    from pipeline.health.checks.catalog import make_all
    from pipeline.health.checks.report import Severity
    from pipeline.lake.source_table import require_first_day

    installation = open_installation()
    with installation.database.engine.connect() as connection:
        require_first_day(connection, installation.first_day)
    with working("checking") as spinner:
        made = []
        for each, report in make_all(installation):
            spinner.update(literal("checked ", (each.name, "dim")))
            made.append((each, report))
    if as_json:
        print_json(
            [
                {
                    "name": each.name,
                    "asset": each.asset,
                    "severity": each.severity,
                    "passed": report.passed,
                    "summary": report.summary,
                    "remedy": None if report.passed else each.remedy,
                    "figures": report.figures,
                    "worst": report.worst,
                }
                for each, report in made
            ]
        )
    else:
        console.print(render.checks(made))
    errors = [each.name for each, report in made if not report.passed and each.severity is Severity.ERROR]
    if errors:
        raise PromptStatsError(
            "Checking the stats",
            f"{len(errors)} of {len(made)} checks found an error: {', '.join(errors)}",
            "docs/checks.md explains each check and what to do",
        )


def doctor(*, as_json: AsJson = False) -> None:
    """Examine environment, database, rights, lake and Dagster, and say what to do. It changes nothing."""
    # Dagster takes two seconds to import.
    from pipeline.health.doctor.examination import examine
    from pipeline.health.doctor.findings import Status
    from pipeline.orchestration.home import examine_home

    with working("examining"):
        found = list(examine(examine_home))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        console.print(render.findings(found))
    wrong = dict.fromkeys(each.name for each in found if each.status is Status.WRONG)
    if wrong:
        raise PromptStatsError(
            "Examining the setup", f"something is wrong with {', '.join(wrong)}", "Each line says what to do"
        )
