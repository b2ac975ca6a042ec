"""Dagster: the steps as assets, and when they run. Nothing outside of this folder imports Dagster.

``assets``
    ``usage_events``, the daily partials, and the stats that are published together.
``jobs``
    ``refresh_stats`` and the schedule that launches it for the stale days.
``keeping``
    The nightly ``reconcile_lake``, and ``retain_events``, which is off unless it is asked for.
``alerting``
    ``stats_alerts``, evaluated every quarter of an hour, and the sensor that tells of failed runs.
``reporting``
    ``stats_report``, the dashboard as a file, and the hourly job that writes it.
``resources``
    The database and the lake, as the settings name them.
``instance``
    Dagster's own home, and running the job in this process.
"""
