"""Usage statistics of prompt templates, recomputed from raw events.

The folders, in the order in which the data passes through them:

``tracking``
    The write path: appends one raw event to ``prompt_usage``. What an app imports.
``lake``
    Reads new events from Postgres and keeps them in columns, one partition per day.
``engines``
    Runs the rollups of ``sql/engine`` over the lake's files.
``stats``
    Frames in, frames out: merges the daily partials into counters, rates and percentiles.
``publish``
    Writes the result to ``prompts`` and the stats tables, in one transaction.
``adoption``
    The app's tables, found or made: what is missing there, added in quick steps.
``checks``
    Compares, looks for what is odd, and says what to do; repairs nothing.
``doctor``
    Looks at what is around the numbers: environment, server, rights, schema, lake.
``alerts``
    What is far worse than its own past: tested, kept, and sent to who wants to know.
``orchestration``
    Dagster: assets, partitions, jobs, schedules. Nothing else knows it.
``api``
    HTTP: takes events, answers from the published stats.
``dashboard``
    The published stats as pages, served beside the API and written as one file.
``cli``
    The command line, ``prompt-stats``.

Beside them: ``definitions`` (what Dagster loads), ``refresh`` (the steps in order, without Dagster),
``repair`` (the steps again, after what can't be read was made anew), ``reconcile`` (compares everything
with what it was made from), ``retention`` (removes raw rows that the lake has), ``erasure`` (removes a
person's events), ``rejected`` (events that could not be taken), ``coverage`` (posts that no event is
about), ``reading`` (what people ask of the published stats), ``prompt_keys`` (which prompt an id, a slug or a
name means), ``comparison`` (whether one prompt is better than another), ``export`` (a whole table as a
file), ``period_export`` (one of some days), ``formats`` (values as people read them), ``settings`` (the
environment), ``environment`` (what a tracker reads of it), ``errors`` (the error tree), ``days`` (which day an
event belongs to), ``tables`` (the
schema), ``schema`` (migrations), ``database`` (connections), ``sessions`` (their settings), ``conninfo``
(their addresses), ``url_parameters`` (what other tools put into these), ``locks`` (who writes now),
``table_locks`` (who holds a table that we wait for),
``names`` (what the app calls its tables), ``files`` (who may read what we write), ``redaction`` (texts
without secrets), ``queries`` (the files of ``sql/``), ``embedded`` (the Postgres that starts by itself),
``seeding`` with ``data`` (the shipped prompts) and ``traffic`` and ``simulation`` (made-up events),
``logs`` (the log as JSON), ``limits`` (how much of anything is taken).
"""
