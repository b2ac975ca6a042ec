"""The doctor: is everything set up as the pipeline needs it? It looks at what is around the numbers.

``findings``
    What is said of one thing: ok, a warning, wrong, or not checked; and what to do.
``setup``
    What is examined: settings and database, as they are asked for.
``examination``
    All steps in order, and what each can't do without.
``variables``
    The environment.
``server``
    The server that was reached: time zones, clocks, transactions, and which schema is looked into.
``rights``
    What the role may do, against ``sql/roles/pipeline.sql``.
``schema``
    Tables, columns, triggers and indexes, and how old what is published is.
``source``
    The table of raw events: what of it is not seen, or not noted.
``trial``
    Tries what a write-back would change besides the counters, and whether an inserted event is found.
``folders``
    Home, lake and journal: that they can be read and written, have room, and are private.

Dagster's home is looked at by ``pipeline/orchestration/home.py``. Whether the numbers are right is what
``pipeline/checks`` is about. Nothing is changed: what is written to find out whether it can be is removed.
"""
