"""Dagster: the steps as assets, and when they run. Nothing outside of this folder imports Dagster.

``sources``
    The app's tables, which are only observed.
``lake_assets``
    ``usage_events``, and its partials by day, month and in total.
``stats_assets``
    The stats that are published together, and those that are counted by value.
``assets``
    All of them.
``explaining``
    Columns, lineage, owners and versions, as the UI shows them of an asset.
``showing``
    Tables and charts, as the UI shows them of a run's result.
``running``
    What every step has around it: connections, the reason of its run, retries.
``jobs``
    ``refresh_stats`` and the schedule that launches it for the stale days.
``keeping``
    The nightly ``reconcile_lake``, and ``retain_events``, which is off unless it is asked for.
``checks``
    The checks of ``pipeline/checks``, the jobs that make them, and how fresh assets have to be.
``forgetting``
    The nightly ``forget_runs``, which keeps Dagster's own storage small.
``alerting``
    ``stats_alerts``, evaluated every quarter of an hour, and the sensor that tells of failed runs.
``reporting``
    ``stats_report``, the dashboard as a file, and the hourly job that writes it.
``dead_runs``
    The sensor that marks runs as failed whose process is gone.
``resources``
    The database and the lake, as the settings name them.
``home``
    Dagster's own home, as ``prompt-stats doctor`` looks at it.
``webserver``
    Dagster's UI, and the services that ``prompt-stats ui`` starts.
``guard``
    What stands in front of the UI: who may ask, and how.
``mentions``
    Where Dagster's storage mentions a person who is erased.
``instance``
    Dagster's own home, and running the job in this process.
"""
