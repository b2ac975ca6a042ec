"""Dagster: the steps as assets, and when they run. Nothing outside this folder imports Dagster.

``sources``
    The app's tables, which are only observed.
``lake_assets``
    ``usage_events`` and its partials, by day, by month and in total.
``stats_assets``
    The stats that are published together, and those that are counted by value.
``assets``
    All assets.
``explaining``
    What the UI shows of an asset: columns, lineage, owners and versions.
``showing``
    What the UI shows of a run's result: tables and charts.
``running``
    What surrounds every step: connections, the reason of its run, retries.
``jobs``
    ``refresh_stats`` and the schedule that launches it for the stale days.
``keeping``
    The nightly ``reconcile_lake`` and ``retain_events``. The second one is off by default.
``checks``
    The checks of ``pipeline/health/checks``, the jobs that make them, and freshness policies.
``forgetting``
    The nightly ``forget_runs``, which keeps Dagster's own storage small.
``alerting``
    ``stats_alerts``, evaluated every quarter of an hour, and the sensor for failed runs.
``reporting``
    ``stats_report``, the dashboard as a file, and the hourly job that writes it.
``dead_runs``
    The sensor that marks runs as failed if their process died.
``resources``
    The database and the lake, as the settings name them.
``home``
    Examines Dagster's home for ``prompt-stats doctor``.
``webserver``
    Dagster's UI, and the services that ``prompt-stats ui`` starts.
``guard``
    Decides which requests reach the UI.
``mentions``
    Searches Dagster's storage for a person who is erased.
``instance``
    Prepares Dagster's home, and runs the job in this process.
"""
