"""Raw events in columns, and their daily partials: Delta Lake tables, one partition per day.

``delta_table``
    A Delta table partitioned by day: what each day holds, append, replace.
``storage``
    A folder, or a bucket of an object store: one way to its files, and whether it is safe for two writers.
``durable``
    Flushes commits to disk before Postgres rests on them.
``mending``
    Drops what a power cut left broken of a commit that was not flushed yet.
``log_faults``
    What is wrong with a log that can't be read, and what helps; refuses what is no regular file.
``ownership``
    Whose the lake is, and whether the database knows all of it.
``usage_events``
    The raw events, and how they get here from Postgres.
``partials``
    The rollups of the raw events, and the partials by day, ``prompt_usage_daily``.
``merge``
    Partials merged, and compared with others.
``periods``
    The partials of longer periods, so that a publish does not merge every day of the past.
``contents``
    Compares what the lake's files hold with what Postgres holds.
``upkeep``
    Few files per day, none that nobody reads, a short log.
``series``
    Usage over time, of one prompt or all, counted when somebody asks.
``period_stats``
    What the events of some days of any time zone come to, as of the publish, merged when somebody asks.
``flow``
    How far a read of events is, and no faster than asked.
``replica``
    Waits until a replica has what is to be read from it.
``damage``
    Files that can't be read: of which days, what helps, and where that is noted.
``isolation``
    Keeps one day's fault from holding up the others.
``source_table``
    Which table the events come from: seen whole, by the same settings; changes that no trigger notes.
``partitions``
    Its partitions: the days of each, and what becomes of days that went with one.
``whole_partitions``
    Drops partitions whose rows the lake has.
``range_index``
    The index by which raw rows are found, where it does not show them all.
``acceptance``
    Other settings, on purpose.
``source``
    Reads Postgres: the watermark, the days that changed, the events themselves.

The lake is its own ledger: the largest ``ingest_xid`` of a day's rows says how far the day was read,
and the fingerprint of a day's files says which state of the day a partial was made from. Both come
from the log of the table, without reading data. See ``docs/architecture.md``.
"""
