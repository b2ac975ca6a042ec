"""Simulated, realistic traffic as Arrow batches. Pure, and the same for the same seed.

:func:`pipeline.samples.simulation.simulate` appends it to a database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

EVENTS_PER_BATCH = 50_000
MINIMUM_USERS = 2_500
EVENTS_PER_USER = 200
CHARACTERS_PER_USER = 3
MOST_FAVORITES = 500

UNDATED_SHARE = 0.002
LATE_SHARE = 0.01
MEAN_DELAY_HOURS = 3.0
UNTIMED_SHARE = 0.02
UNDECIDED_SHARE = 0.003
"""Events of which it is not known whether they succeeded."""
NO_SCENE_SHARE = 0.04
EMPTY_SCENE_SHARE = 0.005
NO_ENVIRONMENT_SHARE = 0.06
NO_OUTFIT_SHARE = 0.10

MEDIAN_GENERATION_MS = 4_200.0

SCENE_SUCCESS_RATES = {
    "candid_lifestyle": 0.96,
    "studio": 0.98,
    "cafe": 0.95,
    "home_interior": 0.94,
    "outdoor_portrait": 0.93,
    "beach": 0.91,
    "gym": 0.90,
    "rooftop": 0.88,
    "city_night": 0.85,
    "forest_trail": 0.82,
    "concert_stage": 0.76,
    "underwater": 0.70,
}
"""Scenes, the most used first, with the success rate of a prompt that is neither easy nor hard."""

ENVIRONMENTS = ("studio", "home", "street", "park", "cafe", "seaside", "office", "mountains")

OUTFITS = (
    "casual-jeans",
    "summer-dress",
    "business-suit",
    "sportswear",
    "knitted-sweater",
    "evening-gown",
    "leather-jacket",
    "linen-shirt",
    "raincoat",
    "swimwear",
)

WEEKDAY_FACTORS = (0.86, 0.84, 0.88, 0.94, 1.08, 1.24, 1.16)
"""From Monday on."""

PEAK_HOUR = 20
"""The busiest hour of the day, UTC; the quietest is twelve hours away."""


class ErrorKind(NamedTuple):
    """Why generations fail: in what share of the failures, after what multiple of the usual time."""

    share: float
    time_factor: float
    message: str


ERROR_KINDS = (
    ErrorKind(0.30, 12.0, "Generation timed out after {number} s (job {id})"),
    ErrorKind(0.22, 0.6, "CUDA out of memory: tried to allocate {number}.50 MiB"),
    ErrorKind(0.18, 0.9, "Image blocked by the safety filter (score 0.{number}, request {id})"),
    ErrorKind(0.06, 0.1, "Model checkpoint-{number} not found"),
    ErrorKind(0.14, 0.05, "Rate limited: retry in {number} seconds"),
    ErrorKind(0.10, 2.0, "Upstream answered 502 at https://render-{number}.example.com/v1/jobs/{id}"),
)

EVENT_SCHEMA = pa.schema(
    [
        ("id", pa.uuid()),
        ("prompt_id", pa.uuid()),
        ("user_id", pa.uuid()),
        ("character_id", pa.uuid()),
        ("post_id", pa.uuid()),
        ("job_id", pa.uuid()),
        ("scene", pa.string()),
        ("environment", pa.string()),
        ("outfit", pa.string()),
        ("success", pa.bool_()),
        ("generation_time_ms", pa.int32()),
        ("error_message", pa.string()),
        ("created_at", pa.timestamp("us", "UTC")),
    ]
)
"""The columns of ``prompt_usage`` that a producer writes, in the types that a bulk append needs."""


EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
HOUR_US = 3_600_000_000

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Ids = NDArray[np.uint8]
"""UUIDs: the last axis is their sixteen bytes."""


@dataclass(frozen=True)
class Traffic:
    """The events of ``days`` days up to ``until``: the same for the same fields, to the last id.

    Who the users are and what each prompt is like depends on the seed and the number of prompts alone, so
    that runs with the same seed and a later ``until`` continue one story.
    """

    prompt_ids: tuple[UUID, ...]
    event_count: int
    days: int
    seed: int
    until: dt.datetime

    @property
    def start(self) -> dt.datetime:
        """No event is dated earlier."""
        return self.until - dt.timedelta(days=self.days)

    @property
    def user_count(self) -> int:
        """Users that may appear; in short runs the least active don't."""
        return max(MINIMUM_USERS, self.event_count // EVENTS_PER_USER)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The events in the order of their arrival, with the columns of :data:`EVENT_SCHEMA`.

        About one in a hundred is dated hours before those that it arrives with.
        """
        rng = self._generator("events")
        hours = self._events_by_hour(rng)
        for first in range(0, self.event_count, EVENTS_PER_BATCH):
            positions = np.arange(first, min(first + EVENTS_PER_BATCH, self.event_count))
            yield self._events(rng, self._arrivals_us(rng, hours, positions))

    def favorites(self) -> list[dict[str, Any]]:
        """A few rows of ``prompt_favorites``, without ids."""
        rng = self._generator("favorites")
        size = min(MOST_FAVORITES, self.event_count)
        users = _pick(rng, self._world.user_shares, size)
        chosen = _pick(rng, self._world.prompt_shares, size)
        ages_min = rng.integers(0, self.days * 24 * 60, size)
        added_min_ago = dict(zip(zip(users, chosen, strict=True), ages_min, strict=True))
        return [
            {
                "prompt_id": self.prompt_ids[prompt],
                "user_id": UUID(bytes=self._world.user_ids[user].tobytes()),
                "created_at": self.until - dt.timedelta(minutes=int(age_min)),
            }
            for (user, prompt), age_min in added_min_ago.items()
        ]

    @cached_property
    def _world(self) -> _World:
        return _World.make(self._generator("world"), len(self.prompt_ids), self.user_count)

    def _generator(self, purpose: str) -> np.random.Generator:
        # A stream for each purpose: drawing more for one changes nothing in the others.
        return np.random.default_rng([self.seed, *purpose.encode()])

    def _events_by_hour(self, rng: np.random.Generator) -> Numbers:
        """How many events each hour from ``start`` on has: daily and weekly waves, growth, some chance."""
        number = np.arange(self.days * 24)
        hour = (self.start - EPOCH) // dt.timedelta(hours=1) + number
        daily = 1 + 0.7 * np.cos(2 * np.pi * (hour % 24 - PEAK_HOUR) / 24)
        weekday = (hour // 24 + EPOCH.weekday()) % 7
        growth = 1 + 0.5 * number / len(number)
        weights = daily * np.take(WEEKDAY_FACTORS, weekday) * growth * rng.lognormal(0, 0.1, len(number))
        return rng.multinomial(self.event_count, weights / weights.sum())

    def _arrivals_us(self, rng: np.random.Generator, hours: Numbers, positions: Numbers) -> Numbers:
        """Ascending times, in microseconds since 1970, of the events at some positions of the whole."""
        ends = hours.cumsum()
        hour = np.searchsorted(ends, positions, side="right")
        rank = positions - (ends - hours)[hour]
        within = (rank + rng.random(len(positions))) / hours[hour]
        return (self.start - EPOCH) // MICROSECOND + ((hour + within) * HOUR_US).astype(np.int64)

    def _events(self, rng: np.random.Generator, arrived_us: Numbers) -> pa.RecordBatch:
        world, size = self._world, len(arrived_us)
        is_late = _chance(rng, LATE_SHARE, size)
        delay_us = (rng.exponential(MEAN_DELAY_HOURS * HOUR_US, size) * is_late).astype(np.int64)
        used_us = np.maximum(arrived_us - delay_us, (self.start - EPOCH) // MICROSECOND)

        prompt = _pick(rng, world.prompt_shares, size)
        user = _pick(rng, world.user_shares, size)
        character = np.minimum(rng.geometric(0.6, size), CHARACTERS_PER_USER) - 1
        scene = _pick_each(rng, world.scene_shares, prompt)
        scene_name = np.where(_chance(rng, EMPTY_SCENE_SHARE, size), len(SCENE_SUCCESS_RATES), scene)
        environment = _pick_each(rng, world.environment_shares, prompt)
        outfit = _pick_each(rng, world.outfit_shares, prompt)

        is_success = rng.random(size) < world.success_rates[prompt, scene]
        is_undecided = _chance(rng, UNDECIDED_SHARE, size)
        has_failed = ~is_success & ~is_undecided
        kind = _pick(rng, ERROR_SHARES, size)
        time_ms = world.median_ms[prompt] * rng.lognormal(0, 0.35, size)
        time_ms *= np.where(has_failed, ERROR_TIME_FACTORS[kind], 1)

        return pa.record_batch(
            [
                _uuids(_event_ids(rng, used_us // 1000)),
                _uuids(_ids_of(self.prompt_ids)[prompt]),
                _uuids(world.user_ids[user]),
                _uuids(world.character_ids[user, character]),
                _uuids(_random_ids(rng, size)),
                _uuids(_random_ids(rng, size)),
                _texts([*SCENE_SUCCESS_RATES, ""], scene_name, _chance(rng, NO_SCENE_SHARE, size)),
                _texts(ENVIRONMENTS, environment, _chance(rng, NO_ENVIRONMENT_SHARE, size)),
                _texts(OUTFITS, outfit, _chance(rng, NO_OUTFIT_SHARE, size)),
                pa.array(is_success, mask=is_undecided),
                pa.array(np.maximum(time_ms, 1).astype(np.int32), mask=_chance(rng, UNTIMED_SHARE, size)),
                _error_messages(rng, kind, has_failed),
                pa.array(
                    used_us, EVENT_SCHEMA.field("created_at").type, mask=_chance(rng, UNDATED_SHARE, size)
                ),
            ],
            schema=EVENT_SCHEMA,
        )


@dataclass(frozen=True)
class _World:
    """Who uses what: shares cumulated along the last axis, and effects by prompt (and scene)."""

    prompt_shares: Floats
    user_shares: Floats
    scene_shares: Floats
    environment_shares: Floats
    outfit_shares: Floats
    success_rates: Floats
    median_ms: Floats
    people: Ids
    """User by user: the user's id, then those of the user's characters."""

    @property
    def user_ids(self) -> Ids:
        return self.people[:, 0]

    @property
    def character_ids(self) -> Ids:
        return self.people[:, 1:]

    @classmethod
    def make(cls, rng: np.random.Generator, prompt_count: int, user_count: int) -> _World:
        def habits(value_count: int) -> Floats:
            taste = rng.lognormal(0, 0.6, (prompt_count, value_count))
            return _cumulated(_zipf(value_count, 0.7) * taste)

        def people() -> Ids:
            # User by user, so that with more of them the first ones stay who they are.
            ids = _random_ids(rng, user_count * (1 + CHARACTERS_PER_USER))
            return ids.reshape(user_count, 1 + CHARACTERS_PER_USER, 16)

        rates = np.array(list(SCENE_SUCCESS_RATES.values()))
        difficulty = rng.normal(0, 0.35, (prompt_count, 1))
        return cls(
            prompt_shares=_cumulated(rng.permutation(_zipf(prompt_count, 1.1))),
            scene_shares=habits(len(SCENE_SUCCESS_RATES)),
            environment_shares=habits(len(ENVIRONMENTS)),
            outfit_shares=habits(len(OUTFITS)),
            success_rates=1 / (1 + (1 / rates - 1) * np.exp(difficulty)),
            median_ms=MEDIAN_GENERATION_MS * rng.lognormal(0, 0.3, prompt_count),
            user_shares=_cumulated(_zipf(user_count, 0.7)),
            people=people(),
        )


def _zipf(size: int, exponent: float) -> Floats:
    """Weights that fall with the rank: the first is the largest."""
    return np.arange(1, size + 1, dtype=np.float64) ** -exponent


def _cumulated(weights: Floats) -> Floats:
    sums: Floats = weights.cumsum(axis=-1)
    total: Floats = sums[..., -1:]
    return sums / total


ERROR_SHARES = _cumulated(np.array([kind.share for kind in ERROR_KINDS]))
ERROR_TIME_FACTORS = np.array([kind.time_factor for kind in ERROR_KINDS])


def _pick(rng: np.random.Generator, shares: Floats, size: int) -> Numbers:
    return np.searchsorted(shares, rng.random(size), side="right")


def _pick_each(rng: np.random.Generator, shares: Floats, row: Numbers) -> Numbers:
    """Like :func:`_pick`, with a row of shares for each draw."""
    place: Numbers = (shares[row] <= rng.random(len(row))[:, np.newaxis]).sum(axis=1)
    return place


def _chance(rng: np.random.Generator, share: float, size: int) -> Flags:
    return rng.random(size) < share


def _texts(names: Any, index: Numbers, is_absent: Flags) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(index, mask=is_absent))


def _error_messages(rng: np.random.Generator, kind: Numbers, has_failed: Flags) -> pa.Array:
    where = np.flatnonzero(has_failed)
    numbers = rng.integers(1, 1000, len(where))
    ids = _random_ids(rng, len(where))
    messages = np.full(len(kind), None, dtype=object)
    for place, number, id_ in zip(where, numbers, ids, strict=True):
        messages[place] = ERROR_KINDS[kind[place]].message.format(number=number, id=UUID(bytes=id_.tobytes()))
    return pa.array(messages, pa.string())


def _ids_of(ids: tuple[UUID, ...]) -> Ids:
    return np.frombuffer(b"".join(id_.bytes for id_ in ids), np.uint8).reshape(-1, 16)


def _random_ids(rng: np.random.Generator, size: int) -> Ids:
    return _marked(np.frombuffer(rng.bytes(16 * size), np.uint8).reshape(size, 16).copy(), version=4)


def _event_ids(rng: np.random.Generator, unix_ms: Numbers) -> Ids:
    """UUIDs of version 7: they begin with the time, so that the index grows at its end."""
    ids = _random_ids(rng, len(unix_ms))
    ids[:, :6] = unix_ms.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    return _marked(ids, version=7)


def _marked(ids: Ids, version: int) -> Ids:
    ids[:, 6] = ids[:, 6] & 0x0F | version << 4
    ids[:, 8] = ids[:, 8] & 0x3F | 0x80
    return ids


def _uuids(ids: Ids) -> pa.Array:
    width = pa.uuid().storage_type
    return pa.ExtensionArray.from_storage(
        pa.uuid(), pa.FixedSizeBinaryArray.from_buffers(width, len(ids), [None, pa.py_buffer(ids.tobytes())])
    )
