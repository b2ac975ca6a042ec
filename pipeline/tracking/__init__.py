"""The write path: appends one raw event to ``prompt_usage``. What an app imports.

It needs Postgres and nothing else: no Dagster, no DuckDB, no polars, no SQLAlchemy. Counters are not its
business; the pipeline recounts them from the events. ``docs/write-path.md`` has the same in plain SQL.
"""

from pipeline.tracking.tracker import PromptTracker, TrackerStats

__all__ = ["PromptTracker", "TrackerStats"]
