"""Prompts beside each other over some days, or one before and after a date: which days, and what they say.

For the API and the command line alike. Counts in days of UTC are published; those of another time zone are
counted from the lake.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.database.queries import query
from pipeline.days import ONE_DAY, USUAL_DAYS, UTC, DayRange, timezones
from pipeline.errors import InputError
from pipeline.limits import LAKE_MAX_DAYS
from pipeline.stats.comparison import Z_95, Sample, differences, standings, wilson

if TYPE_CHECKING:
    # polars takes a moment to import.
    from pipeline.lake.period_stats import PeriodStats

COMPARED_USES = query("answers/compared_uses")
"""Its rows hold the counts of a window; its parameters are those of :meth:`Window.parameters`."""

PROMPTS_MAX = 4
AROUND_MAX_DAYS = 28
"""Of each side of a date, unless more are asked for: the longer, the more else has changed."""

PUBLISHED_MAX_DAYS = 1_830


class Window(NamedTuple):
    """Days of a prompt that are compared with others."""

    prompt_id: Any
    days: DayRange
    when: str = ""
    """What tells it apart from other days of the same prompt."""

    def parameters(self) -> dict[str, Any]:
        """Of :data:`COMPARED_USES`."""
        return {"prompt_id": self.prompt_id, "from_day": self.days.first, "to_day": self.days.last}


class Asked(NamedTuple):
    """Which days are asked for. All are optional; ``before`` asks for those on both sides of a date."""

    first: dt.date | None = None
    last: dt.date | None = None
    days: int | None = None
    timezone: str = UTC
    before: dt.date | None = None


def today_of(as_of: dt.datetime | None, timezone: str) -> dt.date:
    """The day that is not over yet as far as is counted.

    :raises InputError: there is no such time zone.
    """
    if timezone not in timezones():
        raise InputError(
            f"Counting in days of {timezone!r}",
            "it is no name of the IANA database",
            "Give one such as Europe/Berlin",
        )
    return (as_of or dt.datetime.now(dt.UTC)).astimezone(zoneinfo.ZoneInfo(timezone)).date()


def windows(prompt_ids: Sequence[Any], asked: Asked, today: dt.date) -> list[Window]:
    """The days of each prompt; or of one those before a date, then those since.

    Of one prompt and no date: the whole days of the period, after as many of the period before.

    :raises InputError: there are too few or too many prompts or days, or two that exclude each other.
    """
    if asked.before:
        if len(prompt_ids) != 1 or asked.first or asked.last:
            raise InputError(
                "Comparing before and after a date",
                "that is done for one prompt, and without from and to",
                "Name one prompt and the date, and days if you want fewer",
            )
        before, since = around(asked.before, asked.days, today)
        _require_few(DayRange(before.first, since.last), asked.timezone)
        return [
            Window(prompt_ids[0], before, "before"),
            Window(prompt_ids[0], since, f"since {asked.before}"),
        ]
    if len(prompt_ids) == 1:
        before, whole = with_before(period(asked, today), today)
        if whole.last < whole.first:
            raise InputError(
                f"Comparing {whole.first} with the time before",
                "that day is not over",
                "Give an earlier date",
            )
        return [
            Window(prompt_ids[0], before, "before"),
            Window(prompt_ids[0], whole, f"from {whole.first} to {whole.last}"),
        ]
    if not 2 <= len({*map(str, prompt_ids)}) == len(prompt_ids) <= PROMPTS_MAX:
        raise InputError(
            "Comparing prompts",
            f"{len(prompt_ids)} are named, or one of them twice",
            f"Name 2 to {PROMPTS_MAX} different ones, or one",
        )
    days = period(asked, today)
    return [Window(prompt_id, days) for prompt_id in prompt_ids]


def period(
    asked: Asked, today: dt.date, longest: int = PUBLISHED_MAX_DAYS, usual: int = USUAL_DAYS
) -> DayRange:
    """The days asked for; by default the last ``usual`` ones up to ``today``.

    :raises InputError: there are none or too many.
    """
    if asked.days is not None and asked.first:
        raise InputError("Choosing days", "days and from are both given", "Give one of them")
    last = asked.last or today
    length = usual if asked.days is None else asked.days
    if not asked.first and not 1 <= length <= last.toordinal():
        raise InputError(
            f"Choosing days up to {last}", f"{length} days are none", "Give a number of days from 1 on"
        )
    found = DayRange(asked.first or last - (length - 1) * ONE_DAY, last)
    _require_few(found, asked.timezone, longest)
    return found


def around(date: dt.date, days: int | None, today: dt.date) -> tuple[DayRange, DayRange]:
    """As many whole days before a date as since; the date is the first of these.

    By default all that are over, at most 28.

    :raises InputError: there is no whole day since then, or there are fewer than asked for.
    """
    over = (today - date).days
    length = min(over, AROUND_MAX_DAYS) if days is None else days
    if not 1 <= length <= over:
        why = f"{max(over, 0)} days since then are over" if over > 0 else "no day since then is over yet"
        raise InputError(f"Comparing before and after {date}", why, "Give an earlier date or fewer days")
    if length >= date.toordinal():
        raise InputError(f"Comparing before and after {date}", "no days are before it", "Give a later date")
    return DayRange(date - length * ONE_DAY, date - ONE_DAY), DayRange(date, date + (length - 1) * ONE_DAY)


def with_before(days: DayRange, today: dt.date) -> tuple[DayRange, DayRange]:
    """As many days of the period before as this one has whole days, and these.

    A day that is not over would make its period seem smaller. If none is over, both are empty: the last day
    is the one before the first.
    """
    length = (days.last - days.first).days + 1
    # Before the year 1 there is nothing to count.
    first = dt.date.fromordinal(max(days.first.toordinal() - length, dt.date.min.toordinal() + 1))
    others = max(min(days.last, today - ONE_DAY) - days.first, -ONE_DAY)
    return DayRange(first, first + others), DayRange(days.first, days.first + others)


def uses_in_lake(stats: PeriodStats, prompt_id: Any) -> dict[str, int]:
    """The counts of a prompt over the days of ``stats``, as a row of :data:`COMPARED_USES` has them.

    :raises LakeError: the lake can't be read.
    """
    rows = stats.usage(str(prompt_id))
    return {name: int(rows[name].sum()) for name in ("usage_count", "success_count", "failure_count")}


def compared_answer(
    compared: Sequence[Window], rows: Sequence[Mapping[str, Any]], timezone: str
) -> dict[str, Any]:
    """The answer: each window with its rate, and how those after the first differ from it."""
    labels = [row["slug"] or row["name"] or row["prompt_id"] for row in rows]
    several = Counter(labels) if not compared[0].when else {}
    names = [
        f"{label} {each.when}".strip() if several.get(label, 1) == 1 else row["prompt_id"]
        for label, each, row in zip(labels, compared, rows, strict=True)
    ]
    if compared[0].when:
        names[0] = compared[0].when
    samples = [
        Sample(name, row["usage_count"], row["success_count"]) for name, row in zip(names, rows, strict=True)
    ]
    return {
        "timezone": timezone,
        "prompts": [
            {"label": sample.name, **row, "from": each.days.first, "to": each.days.last, **_rate(sample)}
            for sample, each, row in zip(samples, compared, rows, strict=True)
        ],
        "differences": _differences(samples),
    }


def period_against_before(before: DayRange, whole: DayRange, counts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole days of a period, those before, and how their rates differ: ``compared``, ``previous``,
    ``difference``; each None if no day is over.

    ``counts`` are named ``compared_usage_count``, ``previous_usage_count`` and so on.
    """
    if whole.last < whole.first:
        return dict.fromkeys(("compared", "previous", "difference"))
    said = {}
    samples = []
    sides = (("previous", before, "before"), ("compared", whole, f"from {whole.first} to {whole.last}"))
    for side, days, name in sides:
        own = {kind: counts[f"{side}_{kind}"] for kind in ("usage_count", "success_count", "failure_count")}
        samples.append(Sample(name, own["usage_count"], own["success_count"]))
        said[side] = {"from": days.first, "to": days.last, **own, **_rate(samples[-1])}
    return {**said, "difference": _differences(samples)[0]}


def _differences(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """How each but the first differs from the first."""
    return [
        {
            "label": sample.name,
            "baseline": samples[0].name,
            "points": found.points,
            "points_lower": found.lower,
            "points_upper": found.upper,
            "confidence": found.confidence,
            "verdict": found.verdict,
        }
        for sample, found in zip(samples[1:], differences(samples), strict=True)
    ]


def with_standings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with counts and their ``standing`` among each other: ``best``, ``worst`` or None."""
    counts = [(row["success_count"], row["usage_count"]) for row in rows]
    return [{**row, "standing": each} for row, each in zip(rows, standings(counts), strict=True)]


def _rate(sample: Sample) -> dict[str, float | None]:
    if not sample.usage_count:
        return dict.fromkeys(("success_rate", "success_rate_lower", "success_rate_upper"))
    lower, upper = wilson(sample.success_count, sample.usage_count, Z_95)
    rate = sample.success_count / sample.usage_count * 100
    return {"success_rate": rate, "success_rate_lower": lower * 100, "success_rate_upper": upper * 100}


def _require_few(days: DayRange, timezone: str, longest: int = PUBLISHED_MAX_DAYS) -> None:
    what = f"Choosing days from {days.first} to {days.last}"
    if days.first == dt.date.min or days.last == dt.date.max:
        # Those of another time zone begin or end on the day beside.
        raise InputError(what, "the calendar has no day beside them", "Choose others")
    longest = longest if timezone == UTC else min(longest, LAKE_MAX_DAYS)
    if not 1 <= (days.last - days.first).days + 1 <= longest:
        raise InputError(
            what,
            f"they are not between 1 and {longest} days"
            + ("" if timezone == UTC else ", which is the most in another time zone than UTC"),
            "Choose others",
        )
