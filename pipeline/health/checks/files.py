"""Checks that the files of the lake exist, are complete, and can be read."""

from __future__ import annotations

from pipeline.health.checks.report import WORST, Report, plural
from pipeline.installation import Installation
from pipeline.lake import damage, source
from pipeline.lake.upkeep import damage_of


def lake_is_whole(installation: Installation) -> Report:
    """Each file that the lake's tables name exists, has its length, and ends as it should."""
    return _looked(installation, damage.ends_of_files)


def lake_can_be_read(installation: Installation) -> Report:
    """Each file that the lake's tables name can be read to its end."""
    return _looked(installation, damage.whole_files)


def _looked(installation: Installation, look: damage.Look) -> Report:
    with installation.database.engine.connect() as connection:
        expired = source.expired_days(connection)
    found = damage_of(installation.lake, expired, look)
    restored = [each for each in found if each.remedy == damage.RESTORE]
    said = [f"{each.table} of {each.day}" for each in found[:WORST]]
    return Report(
        passed=not found,
        summary=f"{plural(len(found), 'day')} can't be read: {', '.join(said)}"
        if found
        else "The lake's files are whole",
        figures={"days_damaged": len(found), "days_to_be_restored": len(restored)},
        worst=[
            {"table": each.table, "day": each.day, "file": each.why, "what helps": each.remedy}
            for each in found[:WORST]
        ],
    )
