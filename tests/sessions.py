"""Ends sessions of other processes, as a server does that stops or an operator who has enough."""

from __future__ import annotations

import time
from typing import Any

import psycopg


def end_sessions(connection: psycopg.Connection[Any], which: str) -> int:
    """Ends those rows of ``pg_stat_activity`` that meet a condition; returns how many, once they are gone.

    ``connection``: commits each statement by itself. PostgreSQL 13 can't wait for them by itself.
    """
    chosen = f"SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which}"
    pids = [pid for pid, _ in connection.execute(chosen.encode())]
    while connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [pids]).fetchone():
        time.sleep(0.01)
    return len(pids)
