"""Raw events in columns, and their daily partials: Delta Lake tables, one partition per day.

``delta_table``
    A Delta table partitioned by day: knows what each day holds, appends, replaces.
``storage``
    Access to the files of a folder or bucket, and whether it is safe for two writers.
``durable``
    Flushes commits to disk before Postgres relies on them.
``mending``
    Removes the broken rest of a commit that a power cut interrupted before it was flushed.
``log_faults``
    Explains why a log can't be read and what helps, and refuses files that are not regular.
``ownership``
    Decides which database owns the lake, and whether that database knows all of it.
``usage_events``
    The raw events, and their sync from Postgres.
``partials``
    The rollups of the raw events, and the partials by day, ``prompt_usage_daily``.
``merge``
    Merges partials, and compares them with others.
``periods``
    The partials of months and of the whole past, so that a publish does not merge every day.
``contents``
    Compares what the lake's files hold with what Postgres holds.
``upkeep``
    Joins small files, deletes files that nobody reads, and keeps the log short.
``series``
    Usage over time, of one prompt or of all, counted on request.
``period_stats``
    Stats for a range of days in any time zone, as of the last publish, merged on request.
``flow``
    Progress and throttling of a read of events.
``replica``
    Waits until a replica has the events that will be read from it.
``damage``
    Files that can't be read: their days, what helps, and where that is recorded.
``isolation``
    Processes the other days if one fails.
``source_table``
    Makes sure that the right table is read completely, and notices changes that no trigger records.
``partitions``
    The table's partitions: the days of each, and what happens to the days of dropped ones.
``whole_partitions``
    Drops partitions whose rows the lake has.
``range_index``
    Repairs the index that finds raw rows, if it hides some of them.
``acceptance``
    Accepts changed settings.
``source``
    Reads Postgres: the watermark, the days that changed, the events themselves.

The lake keeps its own checkpoints. The largest ``ingest_xid`` of a day's rows says how far the day was read,
and the fingerprint of a day's files says which state of the day a partial was made from. Both come
from the log of the table, without reading data. See ``docs/architecture.md``.
"""
