"""Alerts: what is far worse than its own past, kept in ``stats_alerts`` and sent to who wants to know.

What each rule means, its formulas and their sources are in ``docs/alerts.md``.

``comparison``
    Counts by hour in, the last hours beside the days before out. Frames in, frames out.
``rules``
    Tests what was compared: which series are worse, and how sure that is. Frames in, frames out.
``states``
    What is raised, stays, and recovers. No I/O, no clock.
``raised``
    What is raised now, from Postgres.
``messages``
    Alerts as text, as JSON, as mail.
``notifier``
    Sends messages by webhook and mail; keeps those that could not be sent.
``evaluation``
    All of that over the lake and Postgres: what the job ``evaluate_alerts`` does.
"""
