"""The rules of the alerts: what is far worse than its past is found, what is not is not."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alerts.comparison import HOURS, PAST_DAYS, generation_times, usage
from pipeline.alerts.rules import found, judge, more_hits, success_rate_tests, usage_tests
from pipeline.alerts.states import Rule, Series
from pipeline.stats.percentiles import GAMMA

USES = {
    "scope": pl.String,
    "prompt_id": pl.String,
    "scene": pl.String,
    "hours_ago": pl.Int32,
    "usage_count": pl.Int64,
    "success_count": pl.Int64,
}
TIMES = {**USES, "time_bucket": pl.Int32}
del TIMES["success_count"]
PAST = range(24, HOURS)


def uses(
    *hours: tuple[range, int, float], scope: str = "overall", prompt_id: str | None = None
) -> pl.DataFrame:
    """The uses of a series: in each hour of a range so many, of which a share succeeded."""
    rows = [
        (scope, prompt_id, None, hour, count, round(count * share))
        for span, count, share in hours
        for hour in span
        if count
    ]
    return pl.DataFrame(rows, schema=USES, orient="row")


def times(*hours: tuple[int, dict[int, int]]) -> pl.DataFrame:
    """The generation times of all: by hour (those of the past are of days) the events of each bucket."""
    rows = [
        ("overall", None, None, hour, count, bucket)
        for hour, buckets in hours
        for bucket, count in buckets.items()
    ]
    return pl.DataFrame(rows, schema={name: TIMES[name] for name in [*TIMES]}, orient="row")


def whole_past(buckets: dict[int, int]) -> list[tuple[int, dict[int, int]]]:
    """The same times on each day of the past."""
    return [(day * 24, buckets) for day in range(1, PAST_DAYS + 1)]


NO_TIMES = times()


def only(judged: pl.DataFrame, rule: Rule) -> dict[str, Any]:
    """What is said of all events by a rule."""
    return judged.row(
        by_predicate=(pl.col("rule") == rule.value) & (pl.col("scope") == "overall"), named=True
    )


def fisher(recent: int, hits: int, past: int, past_hits: int) -> float:
    """The chance of so many hits or more, from the definition, in whole numbers."""
    of_all = math.comb(recent + past, recent)
    ways = (
        math.comb(hits + past_hits, number) * math.comb(recent + past - hits - past_hits, recent - number)
        for number in range(hits, min(recent, hits + past_hits) + 1)
    )
    return sum(ways) / of_all


@settings(max_examples=30)
@given(st.data())
def test_the_test_of_two_shares_is_fishers(data: st.DataObject) -> None:
    recent, past = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 300))
    hits, past_hits = data.draw(st.integers(0, recent)), data.draw(st.integers(0, past))
    row = {"recent_count": recent, "recent_hits": hits, "past_count": past, "past_hits": past_hits}
    assert more_hits(pl.DataFrame([row]))[0] == pytest.approx(
        fisher(recent, hits, past, past_hits), abs=1e-12
    )


@settings(max_examples=30)
@given(st.integers(0, 60), st.integers(10, 40))
def test_the_test_of_uses_is_poissons_with_what_is_not_known_of_the_mean(count: int, usual: int) -> None:
    row = usage_tests(uses((range(1), count, 1), (PAST, usual, 1))).filter(window_hours=1)
    # What a mean that was counted on 14 days predicts for a 15th: negative binomial.
    share, size = PAST_DAYS / (1 + PAST_DAYS), PAST_DAYS * usual
    so_few = sum(
        math.comb(number + size - 1, number) * share**size * (1 - share) ** number
        for number in range(count + 1)
    )
    assert row["p_value"][0] == pytest.approx(so_few if count < usual else 1.0)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_false_discoveries_are_controlled_over_all_tests(p_values: list[float]) -> None:
    tests = success_rate_tests(uses((range(1), 200, 0.9), (PAST, 200, 0.9))).head(1)
    rows = pl.concat([tests.with_columns(p_value=pl.lit(p)) for p in p_values])
    q_values = found([rows])["q_value"].to_list()
    # As Benjamini and Hochberg have it: the least of p m / k over the p-values from this one up.
    by_hand = [
        min(1.0, min(q * len(p_values) / sum(r <= q for r in p_values) for q in p_values if q >= p))
        for p in p_values
    ]
    assert q_values == pytest.approx(by_hand)


@pytest.mark.parametrize(("share", "level"), [(0.9, 0), (0.88, 0), (0.95, 0), (0.8, 1), (0.7, 2), (0.0, 2)])
def test_a_success_rate_that_dropped_is_found_by_how_far(share: float, level: int) -> None:
    said = only(judge(uses((range(1), 1000, share), (PAST, 1000, 0.9)), NO_TIMES), Rule.SUCCESS_RATE)
    assert said["level"] == level
    assert said["is_wrong"] or not level
    assert said["past_value"] == pytest.approx(90)
    if level:
        assert (said["window_hours"], said["recent_value"]) == (1, pytest.approx(share * 100))


def test_a_tiny_sample_is_not_tested_and_a_small_one_proves_nothing() -> None:
    assert judge(uses((range(1), 14, 0), (PAST, 1, 1)), NO_TIMES).filter(rule="success_rate").is_empty()
    said = only(judge(uses((range(1), 20, 0.8), (PAST, 100, 0.9)), NO_TIMES), Rule.SUCCESS_RATE)
    assert said["level"] == 0


def test_a_fault_that_is_over_is_not_found_in_the_window_of_the_day() -> None:
    during = uses((range(1), 500, 0.3), (range(1, 24), 500, 0.9), (PAST, 500, 0.9))
    after = uses((range(3), 500, 0.9), (range(3, 9), 500, 0.3), (range(9, 24), 500, 0.9), (PAST, 500, 0.9))
    assert only(judge(during, NO_TIMES), Rule.SUCCESS_RATE)["level"] == 2
    said = only(judge(after, NO_TIMES), Rule.SUCCESS_RATE)
    assert (said["level"], said["is_wrong"]) == (0, False)


@pytest.mark.parametrize(("slower", "level"), [(0, 0), (3, 0), (-10, 0), (8, 1), (18, 2)])
def test_generation_times_that_rose_are_found_by_how_far(slower: int, level: int) -> None:
    usual = dict.fromkeys(range(180, 200), 50)
    now = {bucket + slower: 25 for bucket in usual}
    said = only(judge(uses(), times((0, now), *whole_past(usual))), Rule.GENERATION_TIME)
    assert said["level"] == level
    assert said["is_wrong"] == (slower > 2)
    assert said["past_value"] == pytest.approx(GAMMA**189)
    assert said["recent_value"] == pytest.approx(GAMMA ** (189 + slower), rel=0.05)


def test_bad_days_in_the_past_do_not_become_what_is_usual() -> None:
    bad = [range(day * 24, day * 24 + 24) for day in (2, 5, 9)]
    good = [range(day * 24, day * 24 + 24) for day in range(1, PAST_DAYS + 1) if day not in (2, 5, 9)]
    rates = uses(
        (range(1), 200, 0.7), *((span, 200, 0.2) for span in bad), *((span, 200, 0.9) for span in good)
    )
    said = only(judge(rates, NO_TIMES), Rule.SUCCESS_RATE)
    assert (said["level"], said["past_value"]) == (2, pytest.approx(90))
    slow = times(
        (0, {210: 100}),
        *((span.start, {230: 100}) for span in bad),
        *((span.start, {200: 100}) for span in good),
    )
    said = only(judge(uses(), slow), Rule.GENERATION_TIME)
    assert (said["level"], said["past_value"]) == (1, pytest.approx(GAMMA**200))


def test_one_slow_event_in_twenty_is_no_rise_of_the_median() -> None:
    usual = {180: 960, 190: 40}
    now = {180: 96, 250: 4}
    assert only(judge(uses(), times((0, now), *whole_past(usual))), Rule.GENERATION_TIME)["level"] == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(-1, 250), st.integers(1, 50)), min_size=1, max_size=20))
def test_a_past_median_is_exceeded_by_at_most_half(buckets: list[tuple[int, int]]) -> None:
    past: dict[int, int] = {}
    for bucket, count in buckets:
        past[bucket] = past.get(bucket, 0) + count
    row = generation_times(times((0, {100: 1}), *whole_past(past))).row(0, named=True)
    assert row["past_hits"] <= 0.5 * (row["past_count"] - 1) + 1


@pytest.mark.parametrize(("count", "level"), [(50, 0), (25, 0), (9, 1), (2, 2), (0, 2), (400, 0)])
def test_uses_that_vanished_are_found(count: int, level: int) -> None:
    said = only(judge(uses((range(1), count, 1), (range(1, HOURS), 50, 1)), NO_TIMES), Rule.USAGE)
    assert said["level"] == level
    assert said["is_wrong"] == (count < 50 * 0.6 + 1)


def test_uses_are_compared_with_the_same_hours_of_other_days() -> None:
    asleep = [range(day * 24, day * 24 + 6) for day in range(PAST_DAYS + 1)]
    awake = [range(day * 24 + 6, day * 24 + 24) for day in range(PAST_DAYS + 1)]
    by_day = uses(*((span, 1, 1.0) for span in asleep[1:]), *((span, 500, 1.0) for span in awake))
    assert usage(by_day).filter(window_hours=6)["past_value"][0] == 6
    assert judge(by_day, NO_TIMES).filter(pl.col("level") > 0).is_empty()


def test_what_was_unused_on_two_days_is_not_missed_today() -> None:
    idle = {3 * 24, 10 * 24}
    now_and_then = uses(
        *((range(hour, hour + 1), 0 if hour in idle else 200, 1.0) for hour in range(1, HOURS))
    )
    steady = uses((range(1, HOURS), 200, 1))
    assert only(judge(steady, NO_TIMES), Rule.USAGE)["level"] == 2
    assert judge(now_and_then, NO_TIMES).filter(rule="usage", window_hours=1).is_empty()


def test_a_prompt_that_was_retired_is_not_missed() -> None:
    gone = uses((PAST, 50, 1), scope="prompt", prompt_id="a")
    assert judge(gone, NO_TIMES)["level"].to_list() == [2]
    assert judge(gone, NO_TIMES, retired=["a"]).is_empty()


@settings(max_examples=30)
@given(st.integers(0, 400), st.integers(0, 400))
def test_more_failures_never_look_better(failures: int, more: int) -> None:
    fewer, worse = sorted((failures, more))
    said = [
        only(judge(uses((range(1), 400, 1 - lost / 400), (PAST, 400, 0.9)), NO_TIMES), Rule.SUCCESS_RATE)
        for lost in (fewer, worse)
    ]
    assert said[0]["level"] <= said[1]["level"]
    assert said[0]["effect"] <= said[1]["effect"]
    assert said[0]["q_value"] >= said[1]["q_value"]


def test_what_was_found_is_not_found_again_in_a_window_that_still_holds_it() -> None:
    """A prompt with few uses, of which the shorter windows say little, three hours after a fault of 12."""
    series = Series(Rule.SUCCESS_RATE, "overall")
    over = uses((range(3), 4, 0.9), (range(3, 15), 12, 0.3), (range(15, 24), 4, 0.9), (PAST, 6, 0.9))
    assert only(judge(over, NO_TIMES), Rule.SUCCESS_RATE)["level"] == 2
    assert judge(over, NO_TIMES, over={series: 3.0}).filter(pl.col("level") > 0).is_empty()
    # Nor in what is a part of it; and what is wrong since then is found.
    part = over.with_columns(scope=pl.lit("scene"), scene=pl.lit("cafe"))
    assert judge(part, NO_TIMES)["level"].max() == 2
    assert judge(part, NO_TIMES, over={series: 3.0}).filter(pl.col("level") > 0).is_empty()
    again = uses((range(1), 200, 0.3), (range(1, HOURS), 200, 0.9))
    assert only(judge(again, NO_TIMES, over={series: 3.0}), Rule.SUCCESS_RATE)["level"] == 2


def test_outcomes_that_are_alike_prove_less() -> None:
    """A thousand uses of a day with 87 % instead of 92 % may be a bad day."""
    rows = success_rate_tests(uses((range(24), 40, 0.87), (PAST, 40, 0.92)))
    whole = rows.filter(window_hours=24)
    assert whole["p_value"][0] > fisher(960, 960 - 840, 40 * 24 * 8, 40 * 24 * 8 // 100 * 8) * 100


def test_what_days_differ_by_is_learnt_from_all_series() -> None:
    """One series whose past had a fault does not hide that its uses are gone."""
    hours = [range(day * 24, day * 24 + 24) for day in range(1, PAST_DAYS + 1)]
    fine = [
        uses(
            *((span, 20, 1.0) for span in hours), (range(24), 20, 1.0), scope="prompt", prompt_id=str(number)
        )
        for number in range(5)
    ]
    uneven = uses(
        *((span, 2 if number in (2, 5, 8) else 20, 1.0) for number, span in enumerate(hours)),
        (range(24), 1, 1.0),
        scope="prompt",
        prompt_id="uneven",
    )
    alone = usage_tests(uneven).filter(window_hours=24)["p_value"][0]
    together = usage_tests(pl.concat([*fine, uneven])).filter(prompt_id="uneven", window_hours=24)
    assert together["p_value"][0] < alone / 100


def test_nothing_gives_nothing() -> None:
    assert judge(uses(), NO_TIMES).is_empty()
