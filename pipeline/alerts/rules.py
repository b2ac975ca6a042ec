"""Tests whether a window is worse than the past, by how much, and whether that may be chance.

Frames in, frames out. All p-values are one-sided. All of one evaluation go through the false-discovery
control together, so that ten thousand prompts raise no more false alarms than ten. ``docs/alerts.md`` has the
formulas and their sources.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.alerts.comparison import (
    PAST_DAYS,
    SERIES,
    SLOWER_BUCKETS,
    generation_times,
    success_rates,
    usage,
)
from pipeline.alerts.states import Rule, Series

FALSE_DISCOVERY_RATE = 0.01
"""At most this share of an evaluation's findings is chance. It is small, as there are 96 per day."""

FEWEST = {Rule.SUCCESS_RATE: 15, Rule.GENERATION_TIME: 15, Rule.USAGE: 10}
"""The smallest sample of a window that is tested: uses, timed uses, expected uses."""

FEWEST_PAST = 100
"""The smallest number of uses in the past of a rate or a percentile."""

ENOUGH = {Rule.SUCCESS_RATE: 100, Rule.GENERATION_TIME: 100, Rule.USAGE: 10}
"""From this sample size on, a window alone decides whether something is still wrong."""

OUTCOMES_ALIKE = 0.004
"""How alike the outcomes of uses in one window are (intraclass correlation): rates differ from day to day by
more than chance, so that 1,000 uses say as much as 200 that have nothing to do with each other."""

SMALLEST_DROP = 0.2
"""Of a success rate, as Cohen's h: from 90 % to 83 %, from 99 % to 96 %."""

SMALLEST_LOSS = 0.7
"""Share of the expected uses that are missing."""

ALERT_EFFECT = {Rule.SUCCESS_RATE: 2.0, Rule.GENERATION_TIME: 3.4, Rule.USAGE: 0.95 / SMALLEST_LOSS}
"""From which effect on a warning is an alert: h of 0.4 (90 % to 75 %), twice as slow, 95 % missing."""

STILL_WRONG_EFFECT = 0.5
"""Half of what raises a warning."""

Floats = npt.NDArray[np.float64]


def judge(
    uses: pl.DataFrame,
    times: pl.DataFrame,
    retired: Collection[str] = (),
    over: Mapping[Series, float] = MappingProxyType({}),
) -> pl.DataFrame:
    """One row per series and rule that could be tested: whether it is worse than its past.

    ``uses`` and ``times``: the rows of ``sql/engine/alert_uses.sql`` and ``alert_times.sql``. ``retired``:
    ids of the prompts that are not to be used any more, so that nobody misses their uses. ``over``: for how
    many hours the alerts that recovered lately have been over.

    ``level``: 0 nothing found, 1 warning, 2 alert. ``is_wrong``: whether what was found before may go on;
    always true with a level. ``effect``: 1 is the smallest that counts. ``q_value``: the false-discovery
    rate at which it would just be found. And the window that shows it best: ``window_hours``,
    ``recent_count``, ``recent_value``, ``past_count``, ``past_value``, as ``comparison`` has them.
    """
    expected = uses.filter(pl.col("prompt_id").is_in(retired).not_().fill_null(value=True))
    tests = found([success_rate_tests(uses), generation_time_tests(times), usage_tests(expected)])
    return summed_up(_since(tests, over))


def _since(tests: pl.DataFrame, over: Mapping[Series, float]) -> pl.DataFrame:
    """The windows that began after what was found before was over: a fault is not raised twice.

    What was wrong with all events was wrong with those of every scene and prompt.
    """
    names, hours = [*Series._fields], {"over_hours": pl.Float64}
    ended = pl.DataFrame(
        [(*series, length) for series, length in over.items()],
        schema={**dict.fromkeys(names, pl.String), **hours},
        orient="row",
    )
    of_all = ended.filter(scope="overall").select("rule", all_hours="over_hours")
    youngest = pl.min_horizontal("over_hours", "all_hours").fill_null(float("inf"))
    return (
        tests.join(ended, on=names, how="left", nulls_equal=True)
        .join(of_all, on="rule", how="left")
        .filter(pl.col("window_hours") <= youngest)
        .drop("over_hours", "all_hours")
    )


def success_rate_tests(uses: pl.DataFrame) -> pl.DataFrame:
    """Fisher's exact test of each window's successes against the past's; the effect is Cohen's h.

    The window counts for as many uses as it would have if its outcomes had nothing to do with each other.
    """
    rows = _sampled(success_rates(uses), Rule.SUCCESS_RATE)
    recent, past = (rows[f"{name}_hits"] / rows[f"{name}_count"] for name in ("recent", "past"))
    drop = 2 * (np.arcsin(np.sqrt(past.to_numpy())) - np.arcsin(np.sqrt(recent.to_numpy())))
    alike = 1 + (pl.col("recent_count") - 1) * OUTCOMES_ALIKE
    failures = {
        "recent_count": (pl.col("recent_count") / alike).round(),
        "recent_hits": ((pl.col("recent_count") - pl.col("recent_hits")) / alike + 1e-9).floor(),
        "past_hits": pl.col("past_count") - pl.col("past_hits"),
    }
    return rows.with_columns(
        effect=pl.Series(drop / SMALLEST_DROP), p_value=more_hits(rows.with_columns(**failures))
    )


def generation_time_tests(times: pl.DataFrame) -> pl.DataFrame:
    """Fisher's exact test of the share of slow events; the effect is by how much the median rose."""
    rows = _sampled(generation_times(times), Rule.GENERATION_TIME)
    effect = pl.col("slower_buckets") / SLOWER_BUCKETS
    return rows.with_columns(effect.alias("effect"), p_value=more_hits(rows))


def usage_tests(uses: pl.DataFrame) -> pl.DataFrame:
    """The chance of so few uses, from a negative binomial; the effect is the share of uses that is missing.

    Traffic is burstier than Poisson: the variance is that of the mean of 14 Poisson counts and another, and
    what days differ by besides. How much that is for its mean, all series have in common: their median.
    One series alone has too few days, and some of them had a fault. Only what was used in these hours on all
    of the days but one is tested, and what had as few uses on two of them is not found.
    """
    rows = usage(uses).filter(pl.col("past_value") >= FEWEST[Rule.USAGE], pl.col("usually_at_least") > 0)
    from scipy import stats

    spread = ((pl.col("dispersion") - 1) / pl.col("past_value")).clip(0).median().over("window_hours")
    dispersion = rows.select(1 + 1 / PAST_DAYS + pl.col("past_value") * spread).to_series().to_numpy()
    usual = rows["past_value"].to_numpy()
    p_value = stats.nbinom.cdf(rows["recent_count"].to_numpy(), usual / (dispersion - 1), 1 / dispersion)
    unusual = pl.col("recent_count") < pl.col("usually_at_least")
    return rows.with_columns(
        rule=pl.lit(Rule.USAGE.value),
        sample=pl.col("past_value"),
        effect=(1 - pl.col("recent_value") / pl.col("past_value")) / SMALLEST_LOSS,
        p_value=pl.Series(p_value, dtype=pl.Float64),
    ).with_columns(p_value=pl.when(unusual).then("p_value").otherwise(1.0))


def more_hits(rows: pl.DataFrame) -> pl.Series:
    """The p-values of Fisher's exact test that hits are more frequent in the window than in the past.

    The chance that of ``recent_count`` events, drawn from those of window and past together, as many or
    more would be hits.
    """
    # Three seconds to import, which the command line's start must not take.
    from scipy import stats

    recent, hits, past, past_hits = (
        rows[name].to_numpy() for name in ("recent_count", "recent_hits", "past_count", "past_hits")
    )
    return pl.Series(
        stats.hypergeom.sf(hits - 1, recent + past, hits + past_hits, recent), dtype=pl.Float64
    ).clip(0.0, 1.0)


def found(tests: list[pl.DataFrame]) -> pl.DataFrame:
    """All tests of an evaluation with ``q_value`` (Benjamini and Hochberg) and ``level``."""
    columns = [*SERIES, "rule", "window_hours", "sample", "effect", "p_value"]
    columns += ["recent_count", "recent_value", "past_count", "past_value"]
    rows = pl.concat([test.select(columns) for test in tests], how="vertical_relaxed")
    thresholds = pl.col("rule").replace_strict(
        {rule.value: effect for rule, effect in ALERT_EFFECT.items()}, return_dtype=pl.Float64
    )
    counts = (pl.col("q_value") <= FALSE_DISCOVERY_RATE) & (pl.col("effect") >= 1)
    return rows.with_columns(q_value=_q_values(rows["p_value"].to_numpy())).with_columns(
        level=pl.when(counts)
        .then(pl.when(pl.col("effect") >= thresholds).then(2).otherwise(1))
        .otherwise(0)
        .cast(pl.Int32)
    )


def summed_up(tests: pl.DataFrame) -> pl.DataFrame:
    """One row per series and rule: the joint result of its windows.

    The shortest window with enough events, or else the longest, says whether something is wrong now. It
    is overruled by a shorter one in which something was found, and it overrules longer ones: a fault that
    was an hour long is in the window of a day for a day.
    """
    enough = pl.col("sample") >= pl.col("rule").replace_strict(
        {rule.value: float(sample) for rule, sample in ENOUGH.items()}, return_dtype=pl.Float64
    )
    group = [*SERIES, "rule"]
    judging = pl.col("window_hours").filter(enough).min().fill_null(pl.col("window_hours").max())
    ordered = tests.sort("window_hours").with_columns(judging_hours=judging.over(group))
    by_itself = (pl.col("window_hours") == pl.col("judging_hours")) & (pl.col("effect") >= STILL_WRONG_EFFECT)
    in_short = (pl.col("window_hours") <= pl.col("judging_hours")) & (pl.col("level") > 0)
    best = ordered.sort("level", "p_value", "window_hours", descending=[True, False, False])
    values = ("window_hours", "recent_count", "recent_value", "past_count", "past_value", "effect", "q_value")
    return (
        best.group_by(group, maintain_order=True)
        .agg(
            pl.col("level").first(),
            (by_itself | in_short).any().alias("is_wrong"),
            *(pl.col(value).first() for value in values),
        )
        .with_columns(level=pl.when("is_wrong").then("level").otherwise(0))
    )


def _sampled(rows: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    """The windows with enough events to be tested."""
    return rows.filter(
        pl.col("recent_count") >= FEWEST[rule], pl.col("past_count") >= FEWEST_PAST
    ).with_columns(rule=pl.lit(rule.value), sample=pl.col("recent_count").cast(pl.Float64))


def _q_values(p_values: Any) -> pl.Series:
    from scipy import stats

    q_values: Floats = stats.false_discovery_control(p_values) if len(p_values) else p_values
    return pl.Series(q_values, dtype=pl.Float64)
