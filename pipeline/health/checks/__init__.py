"""Checks tell an operator what is wrong before users notice. They repair nothing.

``report``
    What a check is, and what it reports.
``catalog``
    All checks: what each compares, its severity, how often it is made, and what to do. Runs them.
``sums``
    Checks that the stats tables count the same events.
``recount``
    Recounts a sample of prompts from the raw events.
``compared``
    Compares the published stats of this sample with the recount.
``days``
    Compares the lake with Postgres by day, and the usage of a day with the same weekday before.
``files``
    Checks that the files of the lake are complete and readable.
``events``
    Finds events that are rejected, held back, missing, or of prompts that do not exist.
``clocks``
    Checks how old the stats are, and whether a clock is wrong.
``source_schema``
    Checks the columns and triggers of the app's tables.

A check reads one query of Postgres, and the lake's log or some of its days, into a frame. A function without
I/O judges the frame. ``pipeline/orchestration/checks.py`` makes them asset checks, ``prompt-stats check`` a
command.
"""
