"""The write path, which an app imports: appends raw events to ``prompt_usage``.

It needs only Postgres: no Dagster, no DuckDB, no polars, no SQLAlchemy. It does not touch any counters,
because the pipeline recounts them from the events. ``docs/write-path.md`` shows the same in plain SQL.

``tracker``
    The class that the app uses.
``event``
    Turns the arguments of a call into an event or a rejected event.
``call``
    A call that waits in memory and is read later.
``given_json``
    Reads JSON of other programs, with any numbers in it.
``faults``
    Decides whether an event, the table or the server is the reason that an event could not be written.
``usage_table``
    The columns of the app's table, and the statements that write to it.
``fitting``
    Makes an event fit the table.
``direct``
    Writes one event with one INSERT.
``buffer``
    Keeps waiting events in memory.
``journal``
    Keeps waiting events on disk.
``journal_schema``
    What the journal's file may contain.
``rescue``
    Reads what it can from a damaged journal.
``writer``
    The thread that sends waiting events.
``batches``
    Writes many events at once, by COPY.
``bulk``
    Writes calls without anything unusual, by binary COPY.
``encodings``
    Texts for databases in another encoding than UTF-8.
``connection``
    Connections that give up in time.
"""

from pipeline.tracking.tracker import PromptTracker, TrackerStats

__all__ = ["PromptTracker", "TrackerStats"]
