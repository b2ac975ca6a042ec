"""Another user of the machine reads nothing of ours, whatever umask the commands were started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.files import private_folder, replaced
from pipeline.health.doctor.findings import Status
from pipeline.health.doctor.folders import folder
from pipeline.tracking import PromptTracker
from tests.command import environment

NOWHERE = "postgresql://app@127.0.0.1:1/app"


class Installation(NamedTuple):
    """What commands leave that were started with a umask."""

    umask: int
    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str) -> None:
        """A command in a process of its own, which has to succeed."""
        command = [sys.executable, "-m", "pipeline", *arguments]
        ended = subprocess.run(
            command, env=self.variables, umask=self.umask, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr


DAY = ("migrate", "seed-prompts", "simulate --events 200 --days 2", "refresh", "report")

TRACK = """
import os, sys
from pipeline.tracking import PromptTracker
with PromptTracker(sys.argv[1], journal_dir=sys.argv[2]) as tracker:
    tracker.track_post_creation(prompt_id="x", success=True)
    open(sys.argv[3], "w").close()
    tracker.close(timeout_seconds=0)
"""


@pytest.fixture(scope="module", params=[0o022, 0o077], ids=["022", "077"])
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An embedded installation after its first day, with the lake elsewhere and a journal."""
    here = tmp_path_factory.mktemp("private")
    variables = environment(
        here / "home",
        PROMPT_STATS_LAKE_URI=str(here / "lake"),
        PROMPT_STATS_JOURNAL_DIR=str(here / "journal"),
    )
    installation = Installation(request.param, here, variables)
    for command in DAY if request.param == 0o022 else DAY[:1]:
        installation.run(*command.split())
    installation.run("report", str(here / "named" / "report.html"))
    installation.run("export", "prompt_stats", "-o", str(here / "export.csv"))
    subprocess.run(
        [sys.executable, "-c", TRACK, NOWHERE, here / "journal", here / "of the app"],
        env=variables,
        umask=request.param,
        check=True,
    )
    return installation


def modes(*paths: Path) -> dict[str, int]:
    """The mode of each file and folder, those below included."""
    found = [each for path in paths for each in (path, *path.rglob("*"))]
    return {str(each): each.lstat().st_mode & 0o777 for each in found}


def test_others_can_use_none_of_our_files(used: Installation) -> None:
    found = modes(*(used.folder / name for name in ("home", "lake", "journal")))
    if used.umask == 0o022:
        names = {Path(name).name for name in found}
        assert names >= {"events.sqlite", "_delta_log", "report.html", "dagster.yaml", "history"}
    # Where root runs it, the server's user has to pass through this one, in a home that is private.
    found.pop(str(used.folder / "home" / "postgres"))
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_a_file_that_was_named_follows_the_users_umask(used: Installation) -> None:
    named = [used.folder / name for name in ("export.csv", "named/report.html", "of the app")]
    assert {path.stat().st_mode & 0o777 for path in named} == {0o666 & ~used.umask}


def test_a_program_that_exec_runs_has_the_users_umask(used: Installation) -> None:
    made = used.folder / "made"
    used.run("exec", "touch", str(made))
    assert made.stat().st_mode & 0o777 == 0o666 & ~used.umask


def test_a_file_keeps_its_mode_and_is_never_wider_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.touch(0o640)
    with replaced(target) as file:
        [part] = [path for path in tmp_path.iterdir() if path != target]
        assert part.stat().st_mode & 0o777 == 0o600
        file.write(b"whole")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"whole", 0o640)


def test_a_folder_that_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    shared, empty = tmp_path / "shared", tmp_path / "empty"
    for each in (shared, empty):
        each.mkdir()
        each.chmod(0o777)
    (shared / "of somebody").touch()
    for each in (shared, empty, tmp_path / "new"):
        private_folder(each)
    assert [oct(path.stat().st_mode & 0o777) for path in (shared, empty, tmp_path / "new")] == [
        oct(0o777),
        oct(0o700),
        oct(0o700),
    ]


def test_the_journal_of_an_older_version_becomes_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for name in ("events.sqlite", "writing.lock"):
            (tmp_path / name).touch()
        with PromptTracker(NOWHERE, journal_dir=tmp_path) as tracker:
            tracker.track_post_creation(prompt_id="x", success=True)
            tracker.close(timeout_seconds=0)
        assert {mode for name, mode in modes(tmp_path).items() if name != str(tmp_path)} == {0o600}
    finally:
        os.umask(before)


def test_the_doctor_names_a_wide_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    found = folder("journal", tmp_path)
    assert (found.status, found.remedy) == (
        Status.WARNING,
        f"Unless that is on purpose: chmod -R go= {tmp_path}",
    )
    assert "mode 750" in found.summary
    tmp_path.chmod(0o700)
    assert folder("journal", tmp_path).status is not Status.WRONG
    assert "others" not in folder("journal", tmp_path).summary
