"""Usage statistics of prompt templates, recomputed from raw events.

The folders, in the order in which the data passes through them:

``tracking``
    The write path: appends one raw event to ``prompt_usage``. What an app imports.
``database``
    Postgres: connections and their settings, tables, queries, locks, the server that starts by itself.
``adoption``
    The app's tables, found or made: what is missing there, added in quick steps.
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
    What people ask of the published stats; whole tables as files.
``alerts``
    What is far worse than its own past: tested, kept, and sent to who wants to know.
``health``
    Compares, looks for what is odd, examines the set-up, and says what to do.
``web``
    The HTTP API and the dashboard.
``samples``
    The shipped prompts, and made-up traffic.
``orchestration``
    Dagster: assets, partitions, jobs, schedules. Nothing else knows it.
``cli``
    The command line, ``prompt-stats``.

Beside them: ``definitions`` (what Dagster loads), ``refresh`` (the steps in order, without Dagster),
``repair`` (the steps again, after what can't be read was made anew), ``installation`` (the database and the
lake that every step works on), ``settings`` (the environment), ``environment`` (what a tracker reads of it),
``errors`` (the error tree), ``days`` (which day an event belongs to), ``names`` (what the app calls its
tables), ``files`` (who may read what we write), ``formats`` (values as people read them), ``redaction``
(texts without secrets), ``logs`` (the log as JSON), ``limits`` (how much of anything is taken).
"""
