"""The history of a steady app, as old as it has events: the same traffic every day, up to now."""

from __future__ import annotations

import datetime as dt
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import psycopg

from pipeline.database.connections import Database
from pipeline.days import ONE_DAY, DayRange
from tests.benchmarks.clock import say

EVENTS_PER_DAY = 137_000
TRANSACTIONS_PER_DAY = 24
WRITERS = 2
PROMPTS = 1_000
USERS = 100_000
FRESH_EVENTS = 10_000
FRESH_TRANSACTIONS = 100
DELETED_DAYS_AGO = 20
LATEST = 2
"""Days by which they are late, at most."""

START_DATE = dt.date(2025, 1, 1)
"""The default of PROMPT_STATS_START_DATE."""

ZIPF = "floor(power(%(prompts)s + 1, random()))"
"""The number of a prompt, from 1 on: the n-th is used about 1 / n as often as the first."""

IN_ORDER = "%(start)s + (number - 0.5) / %(events)s * %(length)s"
FRESH = (
    "%(start)s + random() * %(length)s"
    " - CASE WHEN random() < %(late)s THEN 1 + floor(%(latest)s * random()) ELSE 0 END * interval '1 day'"
)

ADD_PROMPTS = """
INSERT INTO prompts (id, slug, name, template)
SELECT
    md5('prompt ' || number)::uuid,
    'prompt-' || number,
    'Prompt ' || number,
    'A portrait of {{character}}, ' || number
FROM generate_series(1, %(prompts)s) AS number
"""

# Ids begin with the time, as those of the tracker do, so the primary key grows at its end. {prompt} and
# {used_at} are expressions of this module. OFFSET 0 has each number drawn once a row.
ADD_EVENTS = """
INSERT INTO prompt_usage (
    id, prompt_id, user_id, character_id, post_id, job_id, scene, environment, outfit,
    success, generation_time_ms, error_message, created_at
)
SELECT
    encode(
        overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send((extract(epoch FROM used_at) * 1000)::bigint) FROM 3) FROM 1
        ),
        'hex'
    )::uuid,
    md5('prompt ' || prompt)::uuid,
    md5('user ' || person)::uuid,
    md5('character ' || person || ' ' || floor(3 * random()))::uuid,
    CASE WHEN luck < 0.9 THEN gen_random_uuid() END,
    gen_random_uuid(),
    ('{{beach,cafe,city street,forest,gym,home office,kitchen,lake,mountain,park,rooftop,studio}}'::text[])[
        1 + floor(12 * power(random(), 1.5))::integer
    ],
    ('{{daylight,dusk,fog,indoor,neon,night,rain,snow}}'::text[])[1 + floor(8 * random())::integer],
    CASE WHEN random() < 0.8 THEN
        ('{{casual,coat,dress,evening,formal,hoodie,sport,suit,summer,uniform}}'::text[])[
            1 + floor(10 * random())::integer
        ]
    END,
    luck < 0.9,
    exp(random_normal(9, 0.5))::integer,
    CASE WHEN luck >= 0.9 THEN
        CASE floor(5 * random())
            WHEN 0 THEN 'CUDA out of memory: tried to allocate ' || floor(8192 * random()) || ' MiB'
            WHEN 1 THEN 'Timed out after ' || floor(30000 + 1000 * random()) || ' ms'
            WHEN 2 THEN 'HTTP 503 from worker-' || floor(64 * random())
            WHEN 3 THEN 'Safety filter: score 0.' || floor(100 * random())
            ELSE 'No connection to 10.0.' || floor(8 * random()) || '.' || floor(256 * random()) || ':8188'
        END
    END,
    used_at
FROM (
    SELECT
        {prompt}::integer                                AS prompt,
        floor(%(users)s * power(random(), 3))::integer   AS person,
        random()                                         AS luck,
        {used_at}                                        AS used_at
    FROM generate_series(1, %(events)s) AS number
    OFFSET 0
) AS drawn
"""


DELETE_ONE = """
DELETE FROM prompt_usage
WHERE id = (SELECT id FROM prompt_usage WHERE created_at >= %(start)s AND created_at < %(end)s LIMIT 1)
"""


@dataclass(frozen=True)
class History:
    """Events of one database. ``until`` is when it was made: the last of its events.

    All days are full but the first: the last one's events lie in the part of it that has passed, so what
    a refresh has to do does not depend on the time of day.
    """

    database: Database
    event_count: int
    until: dt.datetime
    prompt_count: int = PROMPTS

    @cached_property
    def days(self) -> list[dt.date]:
        """The days of the history, the last one always."""
        last = self.until.date()
        length = max(math.ceil(self.event_count / EVENTS_PER_DAY), 1)
        return list(DayRange(last - (length - 1) * ONE_DAY, last).days())

    @property
    def all_days(self) -> list[dt.date]:
        """The days that may have events: late ones may be older than a short history."""
        return list(DayRange(min(self.days[0], self.days[-1] - LATEST * ONE_DAY), self.days[-1]).days())

    @property
    def first_day(self) -> dt.date:
        """What the pipeline takes for the first partition: before all events, late ones too."""
        return min(START_DATE, self.all_days[0])

    def make(self) -> None:
        """Appends prompts and events, nearly in order of time, some thousand a transaction."""
        self.add_prompts()
        # The first day has what is left over.
        first = self.event_count - (len(self.days) - 1) * EVENTS_PER_DAY
        counts = [first, *[EVENTS_PER_DAY] * (len(self.days) - 1)]
        with ThreadPoolExecutor(WRITERS) as writers:
            for number, _ in enumerate(writers.map(self._add_day, self.days, counts)):
                if number % 10 == 0:
                    say(f"made day {number + 1} of {len(self.days)} of {self.event_count:,} events")

    def add_prompts(self) -> None:
        """Fills ``prompts``."""
        with self._connected() as connection:
            connection.execute(ADD_PROMPTS, {"prompts": self.prompt_count})

    def add_fresh(self, late_share: float = 0.0) -> None:
        """Appends events spread over the last day, ``late_share`` of them late."""
        with self._connected() as connection:
            start, length = self._span(self.days[-1])
            for _ in range(FRESH_TRANSACTIONS):
                self.add(
                    connection, ZIPF, FRESH, FRESH_EVENTS // FRESH_TRANSACTIONS, start, length, late_share
                )

    def add_one_each(self, day: dt.date) -> None:
        """Appends one event a prompt, all on one day."""
        with self._connected() as connection:
            self.add(connection, "number", IN_ORDER, self.prompt_count, *self._span(day))

    def delete_one(self) -> None:
        """Deletes one event of a quiet day."""
        with self._connected() as connection:
            start, length = self._span(self.days[max(-DELETED_DAYS_AGO, -len(self.days))])
            connection.execute(DELETE_ONE, {"start": start, "end": start + length})

    def settle_down(self) -> None:
        """Leaves the server without chores that a measurement would pay for."""
        say("VACUUM ANALYZE, CHECKPOINT")
        with self._connected() as connection:
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self.database.conninfo, autocommit=True)

    def _span(self, day: dt.date) -> tuple[dt.datetime, dt.timedelta]:
        start = dt.datetime.combine(day, dt.time(), dt.UTC)
        return start, min(ONE_DAY, self.until - start)

    def _add_day(self, day: dt.date, events: int) -> None:
        start, length = self._span(day)
        part = length / TRANSACTIONS_PER_DAY
        done = 0
        with self._connected() as connection:
            for number in range(TRANSACTIONS_PER_DAY):
                count = events * (number + 1) // TRANSACTIONS_PER_DAY - done
                self.add(connection, ZIPF, IN_ORDER, count, start + number * part, part)
                done += count

    def add(
        self,
        connection: psycopg.Connection,
        prompt: str,
        used_at: str,
        events: int,
        start: dt.datetime,
        length: dt.timedelta,
        late_share: float = 0.0,
    ) -> None:
        """Appends events in one transaction, by expressions of this module."""
        values = {
            "prompts": self.prompt_count,
            "users": USERS,
            "events": events,
            "start": start,
            "length": length,
            "late": late_share,
            "latest": LATEST,
        }
        connection.execute(ADD_EVENTS.format(prompt=prompt, used_at=used_at), values)
