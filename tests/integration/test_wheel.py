"""The built wheel: it holds what a checkout keeps beside the package, and works without a checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.command import REPOSITORY, environment

RUN_ENTRY_POINT = """
from importlib.metadata import entry_points

entry_points(group="console_scripts")["prompt-stats"].load()()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with this environment's packages but ours."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (python,) = (*folder.glob("bin/python"), *folder.glob("Scripts/python.exe"))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(
        subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # A path in a .pth file is searched, but its own .pth files are not followed: an editable checkout of
    # ours stays out of sight.
    shared = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "shared.pth").write_text("".join(f"{path}\n" for path in sorted(shared)))
    return python


def run(python: Path, elsewhere: Path, code: str, *arguments: str) -> str:
    """What a program prints that runs in ``elsewhere``, with a home of its own there."""
    done = subprocess.run(
        [python, "-c", code, *arguments],
        cwd=elsewhere,
        env=environment(elsewhere / "home", PYTHONPATH=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_every_file_that_the_code_reads(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    beside = [*REPOSITORY.glob("sql/*/*.sql"), *REPOSITORY.glob("migrations/**/*.py")]
    beside += [REPOSITORY / "workspace.yaml", REPOSITORY / "migrations" / "script.py.mako"]
    inside = [
        path
        for path in REPOSITORY.glob("pipeline/**/*")
        if path.suffix in {".py", ".yaml", ".html", ".css", ".js"}
    ]
    wanted = {f"pipeline/{path.relative_to(REPOSITORY).as_posix()}" for path in beside}
    wanted |= {path.relative_to(REPOSITORY).as_posix() for path in inside}
    assert {
        "pipeline/sql/engine/prompt_usage_daily.sql",
        "pipeline/migrations/env.py",
        "pipeline/data/prompts.yaml",
        "pipeline/dashboard/static/page.html",
        "pipeline/orchestration/dagster.yaml",
    } <= wanted
    assert wanted <= held


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = archive.namelist()

    assert {name.split("/")[0].split("-")[0] for name in held} == {"pipeline", "prompt_stats"}
    assert not [name for name in held if "__pycache__" in name or "/tests/" in name]


def test_wheel_works_without_the_checkout(python: Path, tmp_path: Path) -> None:
    imported = run(python, tmp_path, "import pipeline; print(pipeline.__file__)")
    assert Path(imported.strip()).is_relative_to(python.parents[1])

    assert "seed-prompts" in run(python, tmp_path, RUN_ENTRY_POINT, "--help")
    assert json.loads(run(python, tmp_path, RUN_ENTRY_POINT, "migrate", "--json"))["steps"]
    assert json.loads(run(python, tmp_path, RUN_ENTRY_POINT, "seed-prompts", "--json"))["imported"] == 24
    status = json.loads(run(python, tmp_path, RUN_ENTRY_POINT, "status", "--json"))
    assert status["prompt_count"] == 24
    assert status["as_of"] is None

    assert json.loads(run(python, tmp_path, RUN_ENTRY_POINT, "refresh", "--json"))["as_of"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
