"""The built wheel: it holds what a checkout keeps beside the package, and works without a checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import uuid
import zipfile
from importlib.metadata import distribution, requires
from pathlib import Path

import psycopg
import pytest
from packaging.requirements import Requirement

from pipeline.database.connections import Database
from tests.command import REPOSITORY, environment

RUN_ENTRY_POINT = """
from importlib.metadata import entry_points

entry_points(group="console_scripts")["prompt-stats"].load()()
"""

TRACK = """
import sys
from pipeline.tracking import PromptTracker

tracker = PromptTracker()
tracker.track_post_creation(prompt_id=sys.argv[1], success=True, generation_time_ms=5000)
tracker.close()
print(*sys.modules)
"""
TRACKER_MAX_BYTES = 25_000_000


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


def end_of(
    python: Path, elsewhere: Path, code: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """How a program ends that runs in ``elsewhere``, with a home of its own there."""
    return subprocess.run(
        [python, "-c", code, *arguments],
        cwd=elsewhere,
        env=environment(elsewhere / "home", PYTHONPATH="", **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def run(python: Path, elsewhere: Path, code: str, *arguments: str) -> str:
    """What such a program prints; it has to succeed."""
    done = end_of(python, elsewhere, code, *arguments)
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
        "pipeline/samples/data/prompts.yaml",
        "pipeline/web/dashboard/static/page.html",
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


@pytest.fixture(scope="module")
def tracker_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and what it depends on, as pip installs it: no extras."""
    folder = tmp_path_factory.mktemp("tracker")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for name in depended_on("prompt-stats", set()):
        for file in distribution(name).files or ():
            # Those outside are commands.
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    subprocess.run([folder / "bin" / "python", "-m", "compileall", "-q", site], check=True)
    return folder / "bin" / "python"


def depended_on(name: str, extras: set[str]) -> set[str]:
    """The distributions that one needs, with some of its extras, and those that they need."""
    found = set[str]()
    for text in requires(name) or ():
        wanted = Requirement(text)
        if not wanted.marker or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= {wanted.name} | depended_on(wanted.name, wanted.extras)
    return found


def test_an_app_can_install_the_tracker_alone(
    tracker_alone: Path, tmp_path: Path, database: Database
) -> None:
    prompt_id = str(uuid.uuid4())
    done = end_of(tracker_alone, tmp_path, TRACK, prompt_id, DATABASE_URL=database.conninfo)

    assert done.returncode == 0, done.stderr
    assert not {"dagster", "duckdb", "polars", "pyarrow", "pydantic", "sqlalchemy"} & {*done.stdout.split()}
    assert not done.stderr
    with psycopg.connect(database.conninfo) as connection:
        rows = connection.execute("SELECT prompt_id::text, generation_time_ms FROM prompt_usage").fetchall()
    assert rows == [(prompt_id, 5000)]


def test_the_tracker_alone_is_small(tracker_alone: Path) -> None:
    (site,) = tracker_alone.parents[1].glob("lib/python*/site-packages")

    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) <= TRACKER_MAX_BYTES


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (RUN_ENTRY_POINT, ["status"], "pip install 'prompt-stats[pipeline]'"),
        (TRACK, ["some-prompt"], "Set DATABASE_URL, or install prompt-stats[pipeline]"),
    ],
)
def test_what_the_tracker_alone_lacks_is_named(
    code: str, arguments: list[str], said: str, tracker_alone: Path, tmp_path: Path
) -> None:
    done = end_of(tracker_alone, tmp_path, code, *arguments)

    assert done.returncode == 1
    assert said in done.stderr
