"""How much of anything is taken: the one place for the limits of what is written, asked and waited for.

A limit of what is written must not be undercut by one of what is asked for: an event that was taken has to be
found again. So a question has no limit of its own on the length of a text: ``HEAD_MAX_BYTES``, which bounds
the address that it stands in, is made from that of events.
"""

from __future__ import annotations

MIB = 2**20

TEXT_MAX_LENGTH = 10_000
"""Characters of the longest text that an event may have."""

PAYLOAD_TEXT_MAX_LENGTH = 100_000
"""Characters at which a text is cut in the payload of a rejected event."""

GENERATION_TIME_MAX_MS = 24 * 60 * 60 * 1000
"""Milliseconds of the longest generation that is believed: a day."""

EVENTS_MAX = 10_000
"""Events of one request."""

EVENT_MAX_BYTES = MIB
"""Of one event as JSON; its texts, each character escaped, and a prompt that is not stored fit."""

EVENTS_MAX_BYTES = 32 * MIB
"""Of a request's body that holds events."""

BODY_MAX_BYTES = MIB
"""Of any other request's body."""

FAVORITES_MAX = 1_000
"""Favourites that are put in order at once, and those that are read at once."""

NOTE_MAX_LENGTH = 200
"""Characters of a marker's note; the table has the same limit."""

ENCODED_CHARACTER_BYTES = 12
"""Of a character in an address, at most: four bytes of UTF-8, each as ``%F0``."""

HEAD_MAX_BYTES = TEXT_MAX_LENGTH * ENCODED_CHARACTER_BYTES + 16 * 2**10
"""Of a request without its body: any text of an event fits into the address."""

ARRIVAL_SECONDS = 30.0
"""How long a request may take to arrive, from its first byte, or from the connection, to its last."""

STALLED_SECONDS = 60.0
"""How long a client may take nothing of an answer that waits for it."""

ANSWER_SECONDS = 5.0
"""How long the database may take for an answer, waiting for a connection included."""

PARTIALS_MAX_DAYS = 366
"""Of a period that is merged from daily partials."""

LAKE_MAX_DAYS = 92
"""Of a period that is counted from the raw events."""

KEPT_SECONDS = 1.0
"""How often, at most, the API asks the database whether its kept answers still hold."""

KEPT_BYTES = 32 * MIB
"""What kept answers take in memory, about: one for each of 10,000 prompts, and more."""

WATCHED_MAX_BYTES = 32 * MIB
"""Of the app's ``prompts``, to be looked through that often for a change."""

CONNECTIONS_MAX = 2_000
"""Connections of clients that are open at once, where the system grants as many descriptors."""
