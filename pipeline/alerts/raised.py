"""Reads the raised alerts from ``stats_alerts``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from pipeline.database.queries import query

ALERTS = query("alerts/alerts")


def alert_rows(connection: Connection, recovered_days: int) -> list[dict[str, Any]]:
    """The raised alerts, and those that recovered in the last days, with ``prompt_name``."""
    # As the API has it: with the parameters of psycopg.
    rows = connection.exec_driver_sql(ALERTS, {"days": recovered_days}).mappings()
    return [dict(row) for row in rows]
