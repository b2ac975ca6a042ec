"""Usage statistics of prompt templates, recomputed from raw events.

The folders, in the order in which the data passes through them:

``tracking``
    The write path, which an app imports: appends raw events to ``prompt_usage``.
``database``
    Postgres: connections and their settings, tables, queries, locks, and the embedded server.
``adoption``
    Finds or creates the app's tables, and adds what is missing there in quick steps.
``lake``
    Reads new events from Postgres and keeps them in columns, one partition per day.
``engines``
    Runs the rollups of ``sql/engine`` over the lake's files.
``stats``
    Frames in, frames out: merges the daily partials into counters, rates and percentiles.
``publish``
    Writes the result to ``prompts`` and the stats tables, in one transaction.
``maintenance``
    Reconciliation, retention, erasure, rejected events, posts without events.
``answers``
    Answers questions about the published stats, and exports whole tables.
``alerts``
    Finds what is far worse than its own past, stores it, and notifies people.
``health``
    Checks the stats, examines the setup, and says what to do.
``web``
    The HTTP API and the dashboard.
``samples``
    The shipped prompts, and simulated traffic.
``orchestration``
    Dagster: assets, partitions, jobs, schedules. No other folder imports Dagster.
``cli``
    The command line, ``prompt-stats``.

Beside them: ``definitions`` (what Dagster loads), ``refresh`` (the steps in order, without Dagster),
``repair`` (repeats the steps after rebuilding what can't be read), ``installation`` (the database and the
lake that every step works on), ``settings`` (the environment), ``environment`` (what a tracker reads of it),
``errors`` (the error tree), ``days`` (which day an event belongs to), ``names`` (the names of the app's
tables), ``files`` (who may read what we write), ``formats`` (values in readable form), ``redaction`` (removes
secrets from texts), ``logs`` (the log as JSON), ``limits`` (how much input is accepted).
"""
