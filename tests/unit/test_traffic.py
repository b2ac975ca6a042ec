"""The made-up events: the same for the same seed, and with the habits of real ones."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from uuid import UUID

import polars as pl
import pyarrow as pa
import pytest

from pipeline.samples.traffic import (
    ENVIRONMENTS,
    ERROR_KINDS,
    EVENT_SCHEMA,
    EVENTS_PER_BATCH,
    OUTFITS,
    SCENE_SUCCESS_RATES,
    ErrorKind,
    Traffic,
)
from pipeline.stats.errors import error_kind

UNTIL = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
FOUR_WEEKS = Traffic(tuple(UUID(int=number) for number in range(1, 25)), 200_000, 28, 7, UNTIL)


def table(traffic: Traffic) -> pa.Table:
    return pa.Table.from_batches(traffic.batches(), EVENT_SCHEMA)


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    """Four weeks of 200,000 events; ids are bytes."""
    return pl.DataFrame(table(FOUR_WEEKS))


def share(flags: pl.Series) -> float:
    return float(flags.sum()) / len(flags)


@pytest.mark.parametrize("count", [1, 2, EVENTS_PER_BATCH - 1, EVENTS_PER_BATCH, EVENTS_PER_BATCH + 1])
def test_there_are_as_many_events_as_asked_for(count: int) -> None:
    assert sum(batch.num_rows for batch in replace(FOUR_WEEKS, event_count=count).batches()) == count


def test_the_same_seed_and_until_are_the_same_events() -> None:
    traffic = replace(FOUR_WEEKS, event_count=EVENTS_PER_BATCH + 1000)

    assert table(traffic).equals(table(replace(traffic)))
    assert traffic.favorites() == replace(traffic).favorites()


@pytest.mark.parametrize(
    "other",
    [
        replace(FOUR_WEEKS, event_count=1000, seed=8),
        replace(FOUR_WEEKS, event_count=1000, until=UNTIL + dt.timedelta(minutes=1)),
    ],
)
def test_another_seed_or_until_shares_no_event(other: Traffic) -> None:
    events = table(replace(FOUR_WEEKS, event_count=1000))

    assert not set(events["id"].to_pylist()) & set(table(other)["id"].to_pylist())


def test_a_later_run_of_the_same_seed_has_the_same_people() -> None:
    """Also a longer one, that has more people."""
    first = pl.DataFrame(table(replace(FOUR_WEEKS, event_count=20_000)))
    later = replace(FOUR_WEEKS, event_count=800_000, until=UNTIL + dt.timedelta(days=1))
    second = pl.DataFrame(next(iter(later.batches())))

    assert later.user_count > FOUR_WEEKS.user_count
    hot = first["user_id"].value_counts(sort=True)["user_id"][:100]
    assert set(hot) <= set(second["user_id"])
    user_of = dict(first.select("character_id", "user_id").iter_rows())
    again = second.select("character_id", "user_id").filter(pl.col("character_id").is_in(list(user_of)))
    assert again.height > 1000
    assert all(user_of[character] == user for character, user in again.iter_rows())


def test_ids_are_uuids_of_version_7_that_begin_with_the_time(events: pl.DataFrame) -> None:
    dated = events.drop_nulls("created_at").sample(2000, seed=1)
    ids = [UUID(bytes=id_) for id_ in dated["id"]]

    assert {(id_.version, id_.variant) for id_ in ids} == {(7, "specified in RFC 4122")}
    assert [id_.int >> 80 for id_ in ids] == dated["created_at"].dt.epoch("ms").to_list()
    assert events["id"].n_unique() == events.height


@pytest.mark.parametrize("column", ["user_id", "character_id", "post_id", "job_id"])
def test_other_ids_are_random_uuids(events: pl.DataFrame, column: str) -> None:
    assert {UUID(bytes=id_).version for id_ in events[column].head(2000)} == {4}


def test_posts_and_jobs_are_one_an_event(events: pl.DataFrame) -> None:
    assert events["post_id"].n_unique() == events["job_id"].n_unique() == events.height


def test_no_event_is_outside_of_the_days(events: pl.DataFrame) -> None:
    assert events["created_at"].drop_nulls().is_between(FOUR_WEEKS.start, UNTIL).all()
    assert events["created_at"].dt.date().drop_nulls().n_unique() == 28


def test_events_arrive_in_order_but_for_a_few(events: pl.DataFrame) -> None:
    dated = events["created_at"].drop_nulls()
    is_late = dated < dated.cum_max()

    assert 0.005 < share(is_late) < 0.015
    assert dated.filter(~is_late).is_sorted()


@pytest.mark.parametrize(
    ("column", "low", "high"),
    [
        ("created_at", 0.001, 0.003),
        ("generation_time_ms", 0.018, 0.022),
        ("success", 0.002, 0.004),
        ("scene", 0.035, 0.045),
        ("environment", 0.05, 0.07),
        ("outfit", 0.09, 0.11),
    ],
)
def test_a_small_share_is_null(events: pl.DataFrame, column: str, low: float, high: float) -> None:
    assert low < share(events[column].is_null()) < high


def test_a_few_scenes_are_the_empty_text(events: pl.DataFrame) -> None:
    assert 0.003 < share(events["scene"].fill_null("x") == "") < 0.007


def test_every_scene_environment_and_outfit_is_used(events: pl.DataFrame) -> None:
    assert set(events["scene"]) == {*SCENE_SUCCESS_RATES, "", None}
    assert set(events["environment"]) == {*ENVIRONMENTS, None}
    assert set(events["outfit"]) == {*OUTFITS, None}


def test_few_prompts_are_hot_and_all_are_used(events: pl.DataFrame) -> None:
    counts = events["prompt_id"].value_counts(sort=True)["count"]

    assert len(counts) == 24
    assert 0.25 < counts[0] / events.height < 0.35
    assert 0.55 < counts[:4].sum() / events.height < 0.75


def test_few_users_do_much(events: pl.DataFrame) -> None:
    counts = events["user_id"].value_counts(sort=True)["count"]

    assert len(counts) > 2000
    assert counts[: len(counts) // 10].sum() / events.height > 0.4
    assert counts[0] / events.height < 0.05


def test_weekends_and_evenings_are_busy(events: pl.DataFrame) -> None:
    weekday = dict(events["created_at"].drop_nulls().dt.weekday().value_counts().iter_rows())
    hour = dict(events["created_at"].drop_nulls().dt.hour().value_counts().iter_rows())

    assert weekday[6] > 1.3 * weekday[2]
    assert hour[20] > 3 * hour[8]


def test_there_are_more_events_from_week_to_week(events: pl.DataFrame) -> None:
    weeks = events.drop_nulls("created_at").group_by_dynamic(
        pl.col("created_at").set_sorted(), every="7d", start_by="datapoint"
    )
    counts = weeks.agg(pl.len())["len"]
    assert counts[-1] > 1.1 * counts[0]


def test_scenes_succeed_at_rates_of_their_own(events: pl.DataFrame) -> None:
    rates = dict(events.group_by("scene").agg(pl.col("success").mean()).iter_rows())

    for scene, rate in SCENE_SUCCESS_RATES.items():
        assert rates[scene] == pytest.approx(rate, abs=0.05)
    assert rates["studio"] - rates["underwater"] > 0.2


def test_prompts_succeed_at_rates_of_their_own(events: pl.DataFrame) -> None:
    in_one_scene = events.filter(pl.col("scene") == "candid_lifestyle").group_by("prompt_id")
    often_used = in_one_scene.agg(pl.len(), pl.col("success").mean()).filter(pl.col("len") > 1000)
    rates = often_used["success"].sort()

    # By chance alone, one such prompt in twenty would be more than 0.012 from the mean.
    assert rates[-1] - rates[0] > 0.04


def test_generation_takes_a_few_seconds_and_some_prompts_longer(events: pl.DataFrame) -> None:
    done = events.filter("success").group_by("prompt_id")
    medians = done.agg(pl.col("generation_time_ms").median())["generation_time_ms"]
    times = events["generation_time_ms"].drop_nulls()

    assert times.min() >= 1  # type: ignore[operator]  # a number
    assert 2_500 < times.median() < 6_500  # type: ignore[operator]
    assert medians.max() > 1.5 * medians.min()  # type: ignore[operator]


@pytest.mark.parametrize("kind", ERROR_KINDS)
def test_failures_take_a_time_of_their_own(events: pl.DataFrame, kind: ErrorKind) -> None:
    times = pl.col("generation_time_ms")
    beginning = kind.message.partition("{")[0]
    failures = events.filter(pl.col("error_message").str.starts_with(beginning))

    usual = events.filter("success").select(times.median()).item()
    assert failures.select(times.median()).item() == pytest.approx(usual * kind.time_factor, rel=0.15)
    assert failures.height == pytest.approx(events["error_message"].count() * kind.share, rel=0.15)


def test_failures_and_only_they_have_messages_of_six_kinds(events: pl.DataFrame) -> None:
    messages = events.filter(pl.col("error_message").is_not_null())

    assert messages["success"].to_list() == [False] * messages.height
    assert messages.height == (~events["success"]).sum()
    assert messages["error_message"].n_unique() > 1000
    assert messages.select(error_kind(pl.col("error_message"))).n_unique() == len(ERROR_KINDS) == 6


def test_favorites_are_distinct_pairs_of_people_and_prompts_there_are(events: pl.DataFrame) -> None:
    favorites = FOUR_WEEKS.favorites()
    pairs = {(favorite["user_id"], favorite["prompt_id"]) for favorite in favorites}

    assert 300 < len(favorites) == len(pairs) <= 500
    assert {user.bytes for user, _ in pairs} <= set(events["user_id"])
    assert {prompt for _, prompt in pairs} <= set(FOUR_WEEKS.prompt_ids)
    assert all(FOUR_WEEKS.start <= favorite["created_at"] <= UNTIL for favorite in favorites)
