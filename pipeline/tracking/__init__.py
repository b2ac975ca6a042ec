"""The write path: appends one raw event to ``prompt_usage``. What an app imports.

It needs Postgres and nothing else: no Dagster, no DuckDB, no polars, no SQLAlchemy. Counters are not its
business; the pipeline recounts them from the events. ``docs/write-path.md`` has the same in plain SQL.

``tracker``
    What the app calls.
``event``
    Reads what the app gave, into an event or a rejected one.
``call``
    A call as it waits in memory, to be read later.
``given_json``
    Reads what others wrote as JSON, whatever numbers it holds.
``faults``
    Whose fault it is that an event could not be written.
``usage_table``
    What the app's table takes, and the statements that write to it.
``fitting``
    Makes an event fit it.
``direct``
    One event, one INSERT.
``buffer``
    Where events wait in memory.
``journal``
    Where they wait on disk.
``journal_schema``
    What the file there may hold.
``rescue``
    What can be read of a damaged journal.
``writer``
    The thread that sends what waits.
``batches``
    Many events at once, by COPY.
``bulk``
    Calls about which nothing is unusual, by binary COPY.
``encodings``
    Texts for databases in another encoding than UTF-8.
``connection``
    Connections that give up in time.
"""

from pipeline.tracking.tracker import PromptTracker, TrackerStats

__all__ = ["PromptTracker", "TrackerStats"]
