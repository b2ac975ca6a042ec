"""Alerts: finds what is far worse than its own past, stores it in ``stats_alerts``, and notifies people.

What each rule means, its formulas and their sources are in ``docs/alerts.md``.

``comparison``
    Puts the counts of the last hours beside those of the days before. Frames in, frames out.
``rules``
    Tests which series are worse, and how certain that is. Frames in, frames out.
``states``
    Decides which alerts are raised, stay and recover. No I/O, no clock.
``raised``
    Reads the raised alerts from Postgres.
``messages``
    Writes alerts as text, JSON and mail.
``notifier``
    Sends messages by webhook and mail, and keeps those that could not be sent.
``evaluation``
    Puts all of this together, with the lake and Postgres, for the job ``evaluate_alerts``.
"""
