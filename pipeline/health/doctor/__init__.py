"""The doctor examines whether everything is set up as the pipeline needs it.

``findings``
    A line of the doctor: ok, a warning, wrong, or not checked; and what to do.
``setup``
    The settings and the database that are examined, opened on first use.
``examination``
    All steps in order, with the steps that each one needs.
``variables``
    The environment.
``server``
    The server: time zones, clocks, transactions, and the search path.
``rights``
    The role's rights, compared with ``sql/roles/pipeline.sql``.
``schema``
    Tables, columns, triggers and indexes, and how old the published stats are.
``source``
    The table of raw events: whether all rows are visible and all changes are noted.
``trial``
    Tries what a write-back would change besides the counters, and whether an inserted event is found.
``folders``
    Home, lake and journal: whether they can be read and written, have room, and are private.

``pipeline/orchestration/home.py`` examines Dagster's home. ``pipeline/health/checks`` checks whether the
numbers are right. The doctor changes nothing: what it writes to try something out is removed.
"""
