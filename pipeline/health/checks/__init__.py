"""Checks: what an operator should know is wrong before users notice. They look, and repair nothing.

``report``
    What a check is, what it is given, what it reports.
``catalog``
    All checks: what each compares, how bad a failure is, how often, what to do. And how they are made.
``sums``
    The stats tables count the same events.
``recount``
    A sample of prompts, recounted from the raw events.
``compared``
    What is published of them beside the recount.
``days``
    Day by day: lake and Postgres; as much use as on the same weekday before.
``files``
    The files of the lake: whole, and readable.
``events``
    Events that are rejected, held back, forgotten, or of prompts that do not exist.
``clocks``
    How late the stats are, and whose clock is wrong.
``source_schema``
    The columns and triggers of the app's tables.

A check reads one query of Postgres, and of the lake its log or some days, into a frame; a function without
I/O judges the frame. ``pipeline/orchestration/checks.py`` makes them asset checks, ``prompt-stats check`` a
command.
"""
