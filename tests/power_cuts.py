"""What a lake's folder may look like after a power cut, at any moment of a recorded run.

:func:`record` runs a program under strace, which writes down every change of files, and :func:`states` makes
from that each state that a file system may leave. What was not flushed may be lost, in any order: the content
of a file is kept by its own flush, its name by that of its folder.

``python -m tests.power_cuts CONNINFO LAKE MARKS`` is the program: see :func:`work`.
"""

from __future__ import annotations

import itertools
import os
import pickle
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from pipeline.database.connections import Database
from pipeline.maintenance.erasure import erase_user
from pipeline.maintenance.retention import retain
from pipeline.refresh import refresh
from tests.app import at
from tests.command import REPOSITORY
from tests.faults import keep_up
from tests.triggers import OFF, ON

CALLS = (
    "openat,write,pwrite64,writev,pwritev,copy_file_range,sendfile,fallocate,ftruncate,truncate,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync"
)

# What is recorded ------------------------------------------------------------------------------------

LEAVER = uuid.UUID(int=1001)
"""The user who is erased."""

EVERYTHING = "everything"
"""The table of all events that the app has written; retention removes nothing here."""

LIVE = f"""
    WITH new AS (
        INSERT INTO prompt_usage (prompt_id, user_id, scene, success, generation_time_ms, created_at)
        SELECT lpad(to_hex(1 + n % 3), 32, '0')::uuid, lpad(to_hex(1001 + n % 3), 32, '0')::uuid,
               (ARRAY['studio', '', NULL])[1 + n % 3], n % 4 > 0, 100 * n,
               CASE n % 5 WHEN 0 THEN NULL ELSE now() - (n % 5 - 1) * interval '1 day' END
        FROM generate_series(1, 20) AS n RETURNING *
    )
    INSERT INTO {EVERYTHING} SELECT * FROM new
"""
CHANGE = f"""
    WITH changed AS (
        UPDATE prompt_usage SET success = NOT success
        WHERE id IN (SELECT id FROM prompt_usage WHERE created_at > now() - interval '30 hours' LIMIT 2)
        RETURNING id, success
    )
    UPDATE {EVERYTHING} SET success = changed.success FROM changed WHERE {EVERYTHING}.id = changed.id
"""

Tables = dict[str, bytes]
"""The rows of each table of a database, as COPY writes them."""


def work(database: Database, lake: str, mark: Callable[[str], None]) -> None:
    """The life of a lake: a first load, refreshes, a retention, an erasure; ``mark`` is told what comes."""

    def app(*statements: str) -> None:
        with psycopg.connect(database.conninfo) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    app(f"CREATE TABLE {EVERYTHING} (LIKE prompt_usage)", LIVE)
    mark("first load")
    refresh(at(database, lake))
    app(LIVE, CHANGE)
    mark("refresh")
    refresh(at(database, lake))
    mark("retention")
    retain(at(database, lake), days=2)
    app(LIVE)
    mark("refresh with late events of expired days")
    refresh(at(database, lake))
    mark("upkeep")
    keep_up(database, lake)
    mark("erasure")
    erase_user(at(database, lake), str(LEAVER))


def save(connection: psycopg.Connection) -> Tables:
    """What the tables hold."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = {}
    for (name,) in names:
        with connection.cursor().copy(f'COPY "{name}" TO STDOUT (FORMAT binary)'.encode()) as rows:
            tables[name] = b"".join(bytes(part) for part in rows)
    return tables


def restore(database: Database, tables: Tables) -> None:
    """Has the tables hold what they held; the database is the same one, and its clock of ids goes on."""
    with psycopg.connect(database.conninfo) as connection:
        # No foreign keys; what fires always is switched off by name.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(OFF)
        for name, rows in tables.items():
            # Not TRUNCATE, which would make a new file: that is noticed.
            connection.execute(f'DELETE FROM "{name}"'.encode())
            with connection.cursor().copy(f'COPY "{name}" FROM STDIN (FORMAT binary)'.encode()) as copy:
                copy.write(rows)
        for statement in ON.split(";"):
            connection.execute(statement.encode())


def main(conninfo: str, lake: str, marks: Path) -> None:
    """Works; saves the database after each commit, and makes a file there that the trace shows."""
    numbers = itertools.count()
    saved: Tables = {}
    commit = psycopg.Connection.commit
    title = "start"

    def save_state() -> None:
        nonlocal saved
        # A block of the connection would commit, which comes here again.
        with closing(psycopg.connect(conninfo, autocommit=True)) as connection:
            now = save(connection)
        if now != saved:
            saved = now
            mark = marks / f"{next(numbers):04} {title}"
            # Renamed, so that the trace has it when it is complete.
            mark.with_suffix(".new").write_bytes(pickle.dumps(now))
            mark.with_suffix(".new").rename(mark)

    def commit_and_save(connection: psycopg.Connection) -> None:
        commit(connection)
        save_state()

    def begin(name: str) -> None:
        nonlocal title
        title = name
        save_state()

    psycopg.Connection.commit = commit_and_save  # type: ignore[method-assign,assignment]  # as tests.faults does
    work(Database.from_url(conninfo), lake, begin)


# The recording ---------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A system call that changed files: its name, the paths and data that it was given, where it wrote."""

    name: str
    texts: list[bytes]
    offset: int

    @property
    def path(self) -> Path:
        """What is changed; of a rename the new name."""
        return Path(os.fsdecode(self.texts[0 if self.name in ("write", "pwrite64") else -1]))


@dataclass
class Recording:
    """The calls of a run, in order, and the databases that its marks stand for."""

    calls: list[Call]
    lake: Path
    marks: Path

    def database(self, mark: str) -> Tables:
        """What the database held from this mark on."""
        tables: Tables = pickle.loads((self.marks / mark).read_bytes())  # noqa: S301  our own
        return tables


def require_strace() -> str:
    """The path of strace; where there is none, a failure in CI and a skip elsewhere."""
    found = shutil.which("strace")
    if found is None:
        give_up: Callable[[str], Any] = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("There is no strace in the PATH: apt-get install strace")
    return str(found)


def record(database: Database, folder: Path) -> Recording:
    """Runs :func:`work` on an empty database and a lake below the folder, and records it."""
    lake, marks, trace = folder / "above" / "lake", folder / "marks", folder / "trace"
    marks.mkdir()
    program = [sys.executable, "-m", "tests.power_cuts", database.conninfo, str(lake), str(marks)]
    strace = [require_strace(), "-f", "-qq", "-y", "-xx", "-s", "100000000", "--seccomp-bpf", "-e", CALLS]
    subprocess.run([*strace, "-o", str(trace), *program], cwd=REPOSITORY, check=True, timeout=300)
    recording = Recording(list(_calls(trace, str(folder).encode())), lake, marks)
    trace.unlink()
    # What is replayed is what happened.
    disk = Disk(lake.parent)
    for call in recording.calls:
        if call.path.is_relative_to(disk.root):
            disk.apply(call)
    found = {str(path.relative_to(disk.root)): path for path in disk.root.rglob("*")}
    contents = {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}
    assert disk.after_cut(_all, _now) == contents
    return recording


_TEXT = re.compile(rb'["<]((?:\\x[0-9a-f]{2})+)[">]')


def _calls(trace: Path, folder: bytes) -> Iterator[Call]:
    """The successful calls on files below the folder; a call that others interrupt counts when it returns."""
    begun: dict[bytes, bytes] = {}
    hexed = b"".join(b"\\x%02x" % byte for byte in folder)
    with trace.open("rb") as lines:
        for line in lines:
            thread, _, rest = line.strip().partition(b" ")
            rest = rest.lstrip()
            if rest.endswith(b"<unfinished ...>"):
                begun[thread] = rest.removesuffix(b"<unfinished ...>")
                continue
            if rest.startswith(b"<..."):
                rest = begun.pop(thread) + rest.partition(b"resumed>")[2]
            name, _, arguments = rest.partition(b"(")
            given, _, result = arguments.rpartition(b" = ")
            is_reading = name == b"openat" and b"O_CREAT" not in given
            if hexed not in given or result.startswith(b"-1") or is_reading:
                continue
            texts = [bytes.fromhex(text.replace(b"\\x", b"").decode()) for text in _TEXT.findall(given)]
            last = given.rstrip(b") ").rpartition(b", ")[2]
            yield Call(name.decode(), texts, int(last) if name == b"pwrite64" else -1)


# What may be left ------------------------------------------------------------------------------------


@dataclass(eq=False)
class File:
    """What was written to a file, and what of it was flushed."""

    now: bytes = b""
    flushed: bytes = b""


@dataclass(eq=False)
class Folder:
    """What a folder holds: ``flushed``, and the changes since then in order (None: the name went)."""

    flushed: dict[str, File | Folder] = field(default_factory=dict)
    changes: list[tuple[str, File | Folder | None]] = field(default_factory=list)

    def entries(self, is_kept: Callable[[int], bool] = lambda _: True) -> dict[str, File | Folder]:
        """The folder with those of its changes, by their number, that are kept."""
        entries: dict[str, File | Folder] = dict(self.flushed)
        for number, (name, what) in enumerate(self.changes):
            if is_kept(number):
                if what is None:
                    entries.pop(name, None)
                else:
                    entries[name] = what
        return entries


Content = Mapping[str, bytes | None]
"""The content of each path below the root; None for a folder."""


class Disk:
    """The folder of a recording as it is now, with all that is not flushed yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = Folder()

    def apply(self, call: Call) -> None:
        """Does what the call did."""
        match call:
            case Call("openat", [_, path]):
                if self._find(path) is None:
                    self._set(path, File())
            case Call("write", [path, data]):
                self._file(path).now += data
            case Call("pwrite64", [path, data], offset):
                file = self._file(path)
                file.now = file.now[:offset] + data + file.now[offset + len(data) :]
            case Call("mkdir", [path]):
                self._set(path, Folder())
            case Call("rename", [old, new]):
                self._set(new, self._find(old))
                self._set(old, None)
            case Call("linkat", [_, old, _, new]):
                self._set(new, self._find(old))
            case Call("unlink" | "rmdir", [path]) | Call("unlinkat", [_, path]):
                self._set(path, None)
            case Call("fsync" | "fdatasync", [path]):
                what = self._find(path)
                if isinstance(what, File):
                    what.flushed = what.now
                elif what:
                    what.flushed, what.changes = what.entries(), []
            case _:
                raise NotImplementedError(f"{call.name} {call.texts[:2]}")

    def _names(self, path: bytes) -> tuple[str, ...]:
        return Path(os.fsdecode(path)).relative_to(self.root).parts

    def _find(self, path: bytes) -> File | Folder | None:
        what: File | Folder | None = self.tree
        for name in self._names(path):
            what = what.entries().get(name) if isinstance(what, Folder) else None
        return what

    def _file(self, path: bytes) -> File:
        file = self._find(path)
        assert isinstance(file, File), path
        return file

    def _set(self, path: bytes, what: File | Folder | None) -> None:
        folder = self._find(path.rpartition(b"/")[0])
        assert isinstance(folder, Folder), path
        folder.changes.append((Path(os.fsdecode(path)).name, what))

    def after_cut(
        self,
        is_kept: Callable[[Folder, int], bool],
        content: Callable[[File], bytes],
    ) -> Content:
        """What is there with those changes of folders that are kept, and with this content of files."""
        found: dict[str, bytes | None] = {}

        def walk(folder: Folder, above: str) -> None:
            for name, what in folder.entries(lambda number: is_kept(folder, number)).items():
                if isinstance(what, Folder):
                    found[above + name] = None
                    walk(what, f"{above}{name}/")
                else:
                    found[above + name] = content(what)

        walk(self.tree, "")
        return found

    def unflushed(self, table: str) -> tuple[list[tuple[Folder, int]], list[File]]:
        """The changes of a table's folders that are not flushed, and the files."""
        changes: list[tuple[Folder, int]] = []
        files: dict[int, File] = {}

        def walk(folder: Folder) -> None:
            changes.extend((folder, number) for number in range(len(folder.changes)))
            for what in folder.entries().values():
                if isinstance(what, Folder):
                    walk(what)
                elif what.now != what.flushed:
                    files[id(what)] = what

        top = self._find(os.fsencode(self.root / table))
        if isinstance(top, Folder):
            walk(top)
        return changes, list(files.values())


def _flushed(file: File) -> bytes:
    return file.flushed


def _now(file: File) -> bytes:
    return file.now


def _zeros(file: File) -> bytes:
    return file.flushed if file.now == file.flushed else bytes(len(file.now))


def _half(file: File) -> bytes:
    return file.flushed if file.now == file.flushed else file.now[: len(file.now) // 2]


def _all(_folder: Folder, _number: int) -> bool:
    return True


def _none(_folder: Folder, _number: int) -> bool:
    return False


def cuts(disk: Disk, table: str) -> Iterator[tuple[str, Content]]:
    """The states that a cut may leave now; the first two are the plainest.

    Single files and names are those of one table, the others' do not change.
    """
    yield "all that is not flushed is lost", disk.after_cut(_none, _flushed)
    yield "names are there, files are empty", disk.after_cut(_all, _flushed)
    yield "nothing is lost", disk.after_cut(_all, _now)
    yield "names are there, files are zeros", disk.after_cut(_all, _zeros)
    yield "names are there, files are cut in half", disk.after_cut(_all, _half)
    changes, files = disk.unflushed(table)
    for file in files:
        yield "one file is empty", disk.after_cut(_all, partial(_without, file))
        yield "one file is there, others are empty", disk.after_cut(_all, partial(_only, file))
    for change in changes:
        yield "one name is lost", disk.after_cut(partial(_differs, change), _now)
        yield "one name is there", disk.after_cut(partial(_is, change), _now)


def _differs(change: tuple[Folder, int], *other: Folder | int) -> bool:
    return change != other


def _is(change: tuple[Folder, int], *other: Folder | int) -> bool:
    return change == other


def _without(lost: File, file: File) -> bytes:
    return file.flushed if file is lost else file.now


def _only(kept: File, file: File) -> bytes:
    return file.now if file is kept else file.flushed


class State(NamedTuple):
    """A state after a cut: of the lake, and of the database, by its mark; ``title`` says how it came."""

    title: str
    mark: str
    lake: Content


def states(recording: Recording) -> Iterator[State]:
    """Every state that a cut may leave, at any moment of the recording.

    Equal ones come once, and so do those that differ in files that are still to get their name.
    """
    root = recording.lake.parent
    disk = Disk(root)
    seen: set[int] = set()
    mark = ""
    table = ""
    for number, call in enumerate(recording.calls):
        if call.name == "rename" and call.path.parent == recording.marks:
            mark = call.path.name
        elif call.path.is_relative_to(root):
            disk.apply(call)
            table = "/".join(call.path.relative_to(root).parts[:2])
        if not mark or mark.endswith("start"):
            continue
        for title, lake in cuts(disk, table):
            digest = hash((mark, frozenset(item for item in lake.items() if "#" not in item[0])))
            if digest not in seen:
                seen.add(digest)
                yield State(f"{mark}, call {number} ({call.name}): {title}", mark, lake)


def put(content: Content, root: Path) -> None:
    """Makes the folder hold just that."""
    for path in sorted(root.rglob("*"), reverse=True):
        wanted = content.get(str(path.relative_to(root)), b"")
        if str(path.relative_to(root)) in content and (wanted is None) == path.is_dir():
            continue
        path.rmdir() if path.is_dir() else path.unlink()
    for name, data in sorted(content.items()):
        path = root / name
        if data is None:
            path.mkdir(exist_ok=True)
        elif not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
