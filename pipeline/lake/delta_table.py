"""A Delta Lake table with one partition per day.

Each commit carries the same application transaction. Delta refuses a commit when another one with that
transaction came between reading and writing, so two writers can never both act on the same past: the
later one gets a :class:`~pipeline.errors.LakeConflictError`.

A state that was opened or written is flushed to disk (``pipeline.lake.durable``), so Postgres may rely on it.
https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow import fs

from pipeline.engines.scan import Part, Scan
from pipeline.errors import LakeConflictError, LakeError, LakeFlushError, readable
from pipeline.lake import durable, log_faults, mending, storage

logger = logging.getLogger(__name__)

WRITER = "prompt-stats"
LEDGER_COLUMNS = ("ingest_xid", "synced_high", "events_version", "covered_until")
"""Columns whose smallest and largest values are in the log: no others, since no erased id may be there."""
KEPT = dt.timedelta(days=7)
"""How long replaced files and old log entries stay, for readers of an older state."""
NO_DICTIONARY = dict.fromkeys(
    ("id", "post_id", "job_id", "created_at"), ColumnProperties(dictionary_enabled=False)
)
"""Columns of raw events whose values hardly ever repeat: a dictionary of them only costs time."""
TABLE_PROPERTIES = {
    "delta.checkpointInterval": "25",
    "delta.logRetentionDuration": f"interval {KEPT.days} days",
    "delta.deletedFileRetentionDuration": f"interval {KEPT.days} days",
}


class Sizes(NamedTuple):
    """The size of a table: the files of its latest state and of its log, as counts and bytes."""

    files: int
    bytes: int
    log_files: int
    log_bytes: int


class DailyTable:
    """One state of a Delta table partitioned by ``day``; writing moves it to the next state.

    ``schema`` must have the columns ``day`` (date32), ``ingest_xid`` and ``synced_high`` (int64). Readers
    of sorted rows skip what they don't want in pieces of ``rows_per_group``. ``sign`` makes what a commit
    carries: at least an application transaction ``prompt-stats`` of a new version.
    """

    def __init__(
        self,
        lake: str,
        name: str,
        schema: pa.Schema,
        rows_per_group: int = 2**20,
        *,
        is_derived: bool = False,
    ) -> None:
        """Opens the table ``name`` of the lake, at its latest state; creates it where it is missing.

        ``is_derived``: it can be computed again, so it starts anew if a local log is torn.

        :raises LakeError: it can't be opened or created.
        :raises LakeFlushError: it can't be flushed.
        """
        self.name = name
        self.schema = schema
        self.sign: Callable[[], Sequence[Transaction]] = _random_token
        self._token: int | None = None
        self._properties = WriterProperties(
            compression="ZSTD",
            compression_level=1,
            max_row_group_size=rows_per_group,
            column_properties=NO_DICTIONARY,
        )
        uri = f"{lake.rstrip('/')}/{name}"
        with _translated(f"Opening the lake table {uri}"):
            self._folder = durable.local_folder(uri)
            self._tree = storage.tree(uri)
            if self._folder:
                log_faults.require_files(self._folder)
                durable.make_folder(self._folder)
                mending.mend(self._folder)
            try:
                self._delta = self._open(uri, is_derived=is_derived)
            except DeltaError as error:
                if not (is_derived and self._folder and mending.is_log_torn(self._folder)):
                    fault = self._folder and log_faults.log_fault(self._folder, is_derived=is_derived)
                    if not fault:
                        raise
                    raise LakeError(f"Opening the lake table {uri}", *fault) from error
                logger.warning("%s can't be opened and is computed again: %s", uri, readable(error))
                shutil.rmtree(self._folder)
                durable.make_folder(self._folder)
                self._delta = self._open(uri)
        self._flush()
        self._held: tuple[int, pl.DataFrame] | None = None
        self._added: tuple[int, pl.DataFrame] | None = None

    def _open(self, uri: str, *, is_derived: bool = True) -> DeltaTable:
        with suppress(TableNotFoundError):
            return DeltaTable(uri)
        if not (self._folder or is_derived):
            storage.require_safe_for_writers(uri.rpartition("/")[0])
        columns = ",".join(column for column in LEDGER_COLUMNS if column in self.schema.names)
        # Without retries: one that lost a race would commit its own metadata on top.
        with suppress(CommitFailedError):
            DeltaTable.create(
                uri,
                self.schema,
                mode="ignore",
                partition_by=["day"],
                name=self.name,
                configuration={**TABLE_PROPERTIES, "delta.dataSkippingStatsColumns": columns},
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        return DeltaTable(uri)

    def days(self) -> pl.DataFrame:
        """What each day holds, from the log alone: one row per day that has rows, in order.

        ``day``; ``usage_count``: rows; ``mark``: largest ``ingest_xid``; ``synced_high``: smallest
        ``synced_high``: the watermark from which on the day's rows were not read again; ``bytes``;
        ``files``; ``version``: a fingerprint of the day's files (int64): equal if nothing changed. And
        ``events_version`` and ``covered_until``, where the schema has them: those of the day's rows, which
        all have the same.
        """
        if self._held is None or self._held[0] != self._delta.version():
            self._held = self._delta.version(), self._days()
        return self._held[1]

    def _files(self) -> pl.DataFrame:
        """What the log says of each file of this state."""
        if self._added is None or self._added[0] != self._delta.version():
            self._added = (
                self._delta.version(),
                pl.DataFrame(pa.table(self._delta.get_add_actions(flatten=True))),
            )
        return self._added[1]

    def _days(self) -> pl.DataFrame:
        adds = self._files()
        schema = {
            **DAYS_SCHEMA,
            **{name: kind for name, kind in OF_PARTIALS.items() if name in self.schema.names},
        }
        made_from = [pl.col(f"min.{name}").min().alias(name) for name in OF_PARTIALS if name in schema]
        if adds.is_empty():
            return pl.DataFrame(schema=schema)
        days = (
            adds.group_by(day=pl.col("partition.day"))
            .agg(
                *made_from,
                usage_count=pl.col("num_records").sum(),
                mark=pl.col("max.ingest_xid").max(),
                synced_high=pl.col("min.synced_high").min(),
                bytes=pl.col("size_bytes").sum(),
                files=pl.len(),
                paths=pl.col("path").sort(),
            )
            .filter(pl.col("usage_count") > 0)
            .sort("day")
        )
        # File names hold a random UUID, so equal names mean equal content.
        versions = pl.Series("version", [fingerprint(paths) for paths in days["paths"].to_list()], pl.Int64)
        return days.with_columns(versions).select(schema.keys()).cast(schema)  # type: ignore[arg-type]  # polars' stub wants the invariant dict type

    def sizes(self) -> Sizes:
        """The size of the table, without replaced files that are not deleted yet.

        :raises LakeError: the log can't be listed.
        """
        with _translated(f"Measuring the lake table {self.name}"):
            log = self._tree.get_file_info(fs.FileSelector(durable.LOG))
            days = self.days()
        files, size = (int(days[name].sum()) for name in ("files", "bytes"))
        return Sizes(files, size, len(log), sum(info.size or 0 for info in log))

    def read(self, days: Collection[dt.date] | None = None, columns: pa.Schema | None = None) -> ds.Dataset:
        """The rows of some days, or of all, as an Arrow dataset with all columns or the given ones."""
        columns = columns or self.schema
        if days is not None and not days:
            return ds.dataset(columns.empty_table())
        with _translated(f"Reading the lake table {self.name}"):
            # Arrow need not ask for sizes that the log has. In a bucket that is a request per file.
            fragments = [
                PARQUET_FORMAT.make_fragment(path, self._tree, ds.field("day") == day, file_size=size)
                for path, day, size in self._files_of(days).iter_rows()
            ]
            return ds.FileSystemDataset(fragments, columns, PARQUET_FORMAT, self._tree)

    def scan(self, days: Collection[dt.date] | None = None, columns: pa.Schema | None = None) -> Scan:
        """The rows of some days, or of all, for an engine to read; with all columns or the given ones."""
        columns = columns or self.schema
        if days is not None and not days:
            return Scan(columns)
        paths = None
        if self._folder:
            paths = [f"{self._folder}/{path}" for path in self._files_of(days)["path"]]
        part = Part(columns, paths, partial(self.read, days, columns), partial(self._addresses, days))
        return Scan(columns, (part,))

    def _addresses(self, days: Collection[dt.date] | None) -> list[tuple[dt.date, str]]:
        root = f"file://{self._folder.absolute()}" if self._folder else self.uri.rstrip("/")
        return [(day, f"{root}/{path}") for path, day, _ in self._files_of(days).iter_rows()]

    def _files_of(self, days: Collection[dt.date] | None) -> pl.DataFrame:
        """The files of some days, or of all: ``path`` in the table's folder, ``day``, ``size_bytes``.

        :raises LakeError: a local one is no regular file, and reading it might never end.
        """
        files = self._files()
        if files.is_empty():
            return pl.DataFrame(schema=["path", "day", "size_bytes"])
        files = files.select("path", day="partition.day", size_bytes="size_bytes")
        if days is not None:
            files = files.filter(pl.col("day").is_in(sorted(days)))
        if self._folder:
            log_faults.require_regular(f"{self._folder}/{path}" for path in files["path"])
        return files

    def rows(self, days: Collection[dt.date], where: pc.Expression, columns: list[str]) -> pa.Table:
        """The rows of some days that meet a condition, read now.

        :raises LakeError: a file can't be read.
        """
        with _translated(f"Reading {len(days)} days of the lake table {self.name}"):
            return self.read(days).filter(where).to_table(columns=columns)

    def as_it_was(self, versions: Mapping[dt.date, int]) -> DailyTable | None:
        """The latest earlier state in which each of some days had this ``version``, to be read, not written.

        None where that is too long ago, or files of it are gone.
        """
        wanted = set(versions.items())
        for earlier in self.earlier():
            if wanted <= set(earlier.days().select("day", "version").iter_rows()):
                return None if earlier.faults().keys() & versions.keys() else earlier
        return None

    def earlier(self, look_back: int | None = None) -> Iterator[DailyTable]:
        """The states before this one, the latest first, to be read, not written; at most so many.

        Files of them may be gone.
        """
        latest = self._delta.version()
        for number in range(latest - 1, max(latest - (look_back or LOOK_BACK), 0) - 1, -1):
            state = copy(self)
            try:
                state._delta = DeltaTable(self.uri, version=number)
            except DeltaError:
                # The log does not go back so far.
                return
            yield state

    @property
    def uri(self) -> str:
        """The table's address."""
        return self._delta.table_uri

    def transaction(self, application: str) -> int | None:
        """The version of an application's transaction in the latest commit that had one."""
        return self._delta.transaction_version(application)

    def append(self, rows: pa.RecordBatchReader | pa.Table) -> None:
        """Adds rows.

        :raises LakeConflictError: somebody else wrote since this state was opened; nothing was written.
        """
        with self._writing(f"Appending to the lake table {self.name}"):
            write_deltalake(
                self._delta,
                rows,
                mode="append",
                # So that a table of an older version gets the columns that it lacks.
                schema_mode="merge",
                writer_properties=self._properties,
                commit_properties=self._commit(),
                post_commithook_properties=CHECKPOINTS,
            )

    def replace(self, days: Collection[dt.date], rows: pa.RecordBatchReader | pa.Table) -> None:
        """Replaces all rows of some days by ``rows``, in one commit; a day without rows becomes empty.

        :raises LakeConflictError: somebody else wrote since this state was opened; nothing was written.
        """
        predicate = "day IN ({})".format(", ".join(f"'{day.isoformat()}'" for day in sorted(days)))
        with self._writing(f"Replacing days of the lake table {self.name}"):
            write_deltalake(
                self._delta,
                rows,
                mode="overwrite",
                schema_mode="merge",
                predicate=predicate,
                writer_properties=self._properties,
                commit_properties=self._commit(),
                post_commithook_properties=CHECKPOINTS,
            )

    def faults(self, *, footers: bool = False) -> dict[dt.date, str]:
        """The days of which a file is missing or not as long as the log says, and what is wrong with it.

        Reads no data, so each refresh can ask. ``footers``: also files that do not end as Parquet does.

        :raises LakeError: the folder can't be listed.
        """
        with _translated(f"Looking at the files of the lake table {self.name}"):
            adds = self._files()
            if adds.is_empty():
                return {}
            paths = adds["path"].to_list()
            # Elsewhere each file would be a request of its own.
            wanted = paths if self._folder else fs.FileSelector("", recursive=True)
            infos = self._tree.get_file_info(wanted)
            # What an object store holds was put there whole.
            footers = footers and self._folder is not None
            found = {info.path: info.size for info in infos}
            odd = {info.path for info in infos if info.type not in (fs.FileType.File, fs.FileType.NotFound)}
            broken: dict[dt.date, str] = {}
            for day, path, size in zip(adds["partition.day"], paths, adds["size_bytes"], strict=True):
                why = None
                if path in odd:
                    why = "is no regular file"
                elif found.get(path) is None:
                    why = "is missing"
                elif found[path] != size:
                    why = f"has {found[path]} bytes of {size}"
                elif footers and not _ends_as_parquet(self._tree, path):
                    why = "does not end as a Parquet file does"
                if why:
                    broken[day] = f"{self.name}/{path} {why}"
            return broken

    def damaged_days(self, days: Collection[dt.date] | None = None) -> dict[dt.date, str]:
        """Those of the days, or of all, of which a file can't be read to its end, and why.

        Reads every file once.
        """
        if days is not None and not days:
            return {}
        broken = self.faults()
        for day in self.days()["day"]:
            if day in broken or (days is not None and day not in days):
                continue
            try:
                for _ in self.read([day]).to_batches():
                    pass
            except (OSError, pa.ArrowException, LakeError) as error:
                if storage.is_unreachable(error):
                    raise LakeError(f"Reading the lake table {self.name}", readable(error), RETRY) from error
                broken[day] = f"{self.name}/day={day} can't be read: {readable(error)}"
        return {day: why for day, why in sorted(broken.items()) if days is None or day in days}

    def compact(self, days: Collection[dt.date]) -> int:
        """Makes one file of the small files of each of the days; returns how many files went.

        :raises LakeConflictError: somebody else wrote since this state was opened; nothing was written.
        """
        if not days:
            return 0
        before = set(self._files_of(days)["path"])
        with self._writing(f"Compacting the lake table {self.name}"):
            self._delta.optimize.compact(
                partition_filters=[("day", "in", [day.isoformat() for day in sorted(days)])],
                target_size=TARGET_BYTES,
                writer_properties=self._properties,
                commit_properties=self._commit(),
                post_commithook_properties=CHECKPOINTS,
            )
        return len(before - set(self._files()["path"]))

    def clean(self, kept: dt.timedelta) -> int:
        """Deletes the files that no state of the last ``kept`` names; returns their number.

        Those that dead writers left behind go too, once they are :data:`ABANDONED_AFTER` old. Writes a
        checkpoint and drops the log's older entries.
        """
        with _translated(f"Cleaning the lake table {self.name}"):
            # The log names files long after they are gone, so what it gives back can't be counted.
            before = self._file_count()
            self._vacuum(kept, full=False)
            self._vacuum(max(kept, ABANDONED_AFTER), full=True)
            if self._folder:
                durable.expect_checkpoint(self._folder, self._delta.version())
            self._delta.create_checkpoint()
            # Until the checkpoint is on disk, the entries are all there is.
            self._flush()
            self._delta.cleanup_metadata()
            if self._folder:
                durable.flush_deletions(self._folder)
            return before - self._file_count()

    def _commit(self) -> CommitProperties:
        signed = list(self.sign())
        [self._token] = [each.version for each in signed if each.app_id == WRITER]
        return CommitProperties(app_transactions=signed)

    @contextmanager
    def _writing(self, attempted: str) -> Iterator[None]:
        try:
            with _translated(attempted):
                yield
        except LakeError as error:
            if not self._is_done():
                raise
            logger.info("%s: it was done, although the object store reported: %s", attempted, error.wrong)
        self._flush()

    def _is_done(self) -> bool:
        """Whether the last commit is the table's latest one, in spite of an error; then this is that state.

        An object store may do what it answers an error to, and delta-rs, asking again, finds its own entry in
        the way.
        """
        if self._folder:
            return False
        with suppress(DeltaError, OSError):
            latest = DeltaTable(self.uri)
            if latest.version() > self._delta.version() and latest.transaction_version(WRITER) == self._token:
                self._delta = latest
                return True
        return False

    def _flush(self) -> None:
        if self._folder:
            try:
                durable.flush(self._folder, self._delta.version())
            except OSError as error:
                raise LakeFlushError(
                    f"Flushing the lake table {self.name} to disk",
                    readable(error),
                    "Check the disk, then run the command again. Nothing was published that relies on it",
                ) from error

    def _file_count(self) -> int:
        found = self._tree.get_file_info(fs.FileSelector("", recursive=True))
        return sum(info.extension == "parquet" and not info.path.startswith(durable.LOG) for info in found)

    def _vacuum(self, kept: dt.timedelta, *, full: bool) -> None:
        self._delta.vacuum(
            retention_hours=int(kept.total_seconds() // 3600),
            dry_run=False,
            enforce_retention_duration=False,
            full=full,
            post_commithook_properties=NO_HOOKS,
        )
        self._flush()


LOOK_BACK = 100
"""Commits after which an earlier state is too long ago to be looked for: half a day of the schedule."""

ABANDONED_AFTER = dt.timedelta(hours=1)
"""When a file that no state names is not that of a writer about to commit."""

RETRY = "Check that the object store answers and that the credentials are valid, then run the command again"

PARQUET_FORMAT = ds.ParquetFileFormat(
    # Columns that lie together come in one request.
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True)
)

PARQUET = b"PAR1"
"""What a Parquet file begins and ends with."""

TARGET_BYTES = 256 * 2**20
"""Size up to which compaction joins files."""

NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
CHECKPOINTS = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
"""Old log entries are not dropped at once: the checkpoint that stands for them has to be flushed first."""

OF_PARTIALS: dict[str, pl.DataType] = {"events_version": pl.Int64(), "covered_until": pl.Date()}

DAYS_SCHEMA = pl.Schema(
    {
        "day": pl.Date,
        "usage_count": pl.Int64,
        "mark": pl.Int64,
        "synced_high": pl.Int64,
        "bytes": pl.Int64,
        "files": pl.Int64,
        "version": pl.Int64,
    }
)


def fingerprint(texts: Iterable[str]) -> int:
    """A number of 63 bits, which fit a signed bigint, that is equal for equal texts in the same order."""
    digest = hashlib.blake2b("\n".join(texts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _random_token() -> Sequence[Transaction]:
    return [Transaction(WRITER, secrets.randbits(63))]


def _ends_as_parquet(filesystem: fs.FileSystem, path: str) -> bool:
    with filesystem.open_input_file(path) as file:
        return bool(file.read_at(len(PARQUET), file.size() - len(PARQUET)) == PARQUET)


@contextmanager
def _translated(attempted: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise LakeConflictError(
            attempted, f"another process wrote to it at the same time ({error})", "Run the command again"
        ) from error
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise LakeError(
            attempted,
            readable(error),
            "Check PROMPT_STATS_LAKE_URI, the free disk space and the permissions, then run it again",
        ) from error
