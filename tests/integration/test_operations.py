"""Every command of docs/operations.md, and of backup and restore, where the trouble is that it is for.

A block's line is run as it stands, and has to end with 0, or as its comment says.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from deltalake import DeltaTable
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import make_conninfo

from pipeline.adoption.schema import migrate
from pipeline.database.connections import Database
from pipeline.database.embedded.server import binaries
from pipeline.errors import PromptStatsError
from pipeline.refresh import refresh
from pipeline.samples import seeding
from pipeline.settings import settings
from pipeline.tracking import PromptTracker
from tests.api import served
from tests.app import at
from tests.cli import invoke
from tests.command import REPOSITORY
from tests.conftest import NewDatabase

OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
DEPLOYMENT = (REPOSITORY / "docs" / "deployment.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((REPOSITORY / "deploy" / "prometheus-rules.yaml").read_text(encoding="utf-8"))
SERVED = "http://127.0.0.1:8000"
SLUG = "portrait-selfie-casual"
TOKEN = uuid.uuid4().hex
DAYS_AGO = (0, 1, 1, 200)
FIRST_DAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=220)
"""Dagster notes every day since, which takes longer than the work."""
BACKFILLED = {"2025-01-01": FIRST_DAY, "2025-01-03": FIRST_DAY + dt.timedelta(days=2)}
"""The days that the page reads again, and what they are here."""

INSERT = (
    "INSERT INTO prompt_usage (prompt_id, success, created_at)"
    " SELECT id, true, %s FROM prompts WHERE slug = %s"
)


def sections(page: str) -> dict[str, list[str]]:
    """The commands of each section of a page that has any."""
    found = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^( *)```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
        lines = [line.strip() for _, block in blocks for line in block.splitlines() if line.strip()]
        if lines:
            found[section.splitlines()[0]] = lines
    return found


COMMANDS = sections(OPERATIONS)


class Deployment:
    """A home, a lake and a database, as the environment names them, and how many events there are."""

    def __init__(self, database: Database, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.home = home
        self.events = 0
        self._patch = patch

    def set(self, **variables: str | Path | None) -> None:
        """Changes the environment of the commands."""
        for name, value in variables.items():
            self._patch.delenv(name, raising=False) if value is None else self._patch.setenv(name, str(value))
        settings.cache_clear()

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What an operator's or the app's statement returns."""
        with psycopg.connect(self.database.conninfo) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def append(self, *at: dt.datetime) -> None:
        """Events of one prompt."""
        with psycopg.connect(self.database.conninfo) as connection:
            connection.cursor().executemany(INSERT, [(each, SLUG) for each in at])
        self.events += len(at)

    def refresh(self) -> None:
        """Publishes what there is, without Dagster."""
        refresh(at(self.database, settings().lake, FIRST_DAY))

    def damage(self, day: dt.date) -> None:
        """A disk loses what is in the raw events of a day."""
        table = DeltaTable(f"{settings().lake}/usage_events")
        for uri in table.file_uris(file_pruning_predicate=[("day", "=", day.isoformat())]):
            Path(uri.removeprefix("file://")).write_bytes(b"nothing of a day")

    def published(self) -> object:
        """How many events the stats count."""
        return self.execute("SELECT sum(usage_count)::int FROM prompt_stats")[0][0]

    def run(self, command: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
        """How a command ended, and what it said."""
        for day, here in BACKFILLED.items():
            command = command.replace(day, here.isoformat())
        words = [os.path.expandvars(word) for word in shlex.split(command, comments=True)]
        if words[0] == "prompt-stats":
            ended = invoke(*words[1:])
            code, said = ended.exit_code, ended.output
            if ended.exception and not isinstance(ended.exception, SystemExit):
                if not isinstance(ended.exception, PromptStatsError):
                    raise ended.exception
                said += str(ended.exception)
        else:
            shell = ["/bin/bash", "-euo", "pipefail", "-c", command]
            code, said = subprocess.run(shell, check=False).returncode, ""
        return code, said + "".join(capfd.readouterr())


@pytest.fixture(scope="module")
def client(deployment: Deployment) -> Iterator[httpx.Client]:
    """The API of the deployment."""
    with served(
        deployment.database,
        PROMPT_STATS_LAKE_URI=settings().lake,
        PROMPT_STATS_API_TOKEN=f"read:{TOKEN}",
    ) as client:
        yield client


@pytest.fixture(scope="module")
def deployment(
    new_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Events of today and before, published."""
    root = tmp_path_factory.mktemp("deployment")
    for name in ("home", "journal", "tmp", "backup", "restored"):
        (root / name).mkdir()
    with new_database(migrated_template) as database, pytest.MonkeyPatch.context() as patch:
        made = Deployment(database, root / "home", patch)
        made.set(
            DATABASE_URL=database.conninfo,
            PROMPT_STATS_HOME=root / "home",
            PROMPT_STATS_LAKE_URI=None,
            PROMPT_STATS_START_DATE=FIRST_DAY.isoformat(),
            PROMPT_STATS_JOURNAL_DIR=root / "journal",
            DAGSTER_HOME=root / "home" / "dagster",
            DAGSTER_EVENT_BATCH_SIZE="100",
            DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS="1",
            TMPDIR=root / "tmp",
            TOKEN=TOKEN,
            LAKE=root / "home" / "lake",
            BACKUP=root / "backup",
            RESTORED=root / "restored",
            PATH=f"{binaries()}:{os.environ['PATH']}",
        )
        patch.chdir(REPOSITORY)
        seeding.seed_prompts(database)
        now = dt.datetime.now(dt.UTC)
        made.append(*(now - dt.timedelta(days=days) for days in DAYS_AGO))
        made.refresh()
        yield made
    settings.cache_clear()


Scenario = Callable[[Deployment], AbstractContextManager[list[str]]]
SCENARIOS: dict[str, Scenario] = {}


def trouble(section: str) -> Callable[[Callable[[Deployment], Iterator[list[str]]]], Scenario]:
    """What is wrong before a section's commands, what they then say, and what is right afterwards."""

    def register(scenario: Callable[[Deployment], Iterator[list[str]]]) -> Scenario:
        return SCENARIOS.setdefault(section, contextmanager(scenario))

    return register


@trouble("Is it healthy?")
def healthy(_deployment: Deployment) -> Iterator[list[str]]:
    yield ["events counted", '"status":"ok"', "prompt_stats_lag_seconds"]


@trouble("The set-up is in doubt")
def doubtful_set_up(deployment: Deployment) -> Iterator[list[str]]:
    # As after a migration of the app that took away what it did not know.
    deployment.execute("DROP INDEX prompt_usage_ingest_brin")
    yield ["wrong +indexes .*creates the index prompt_usage_ingest_brin", "prompt-stats migrate"]
    migrate(deployment.database)


@trouble("The lag grows")
def lag(deployment: Deployment) -> Iterator[list[str]]:
    deployment.append(dt.datetime.now(dt.UTC))
    yield ["freshness", "published_at"]


@trouble("A transaction stays open")
def open_transaction(deployment: Deployment) -> Iterator[list[str]]:
    forgetful = make_conninfo(deployment.database.conninfo, application_name="forgetful")
    with ExitStack() as stack:
        connection = psycopg.connect(forgetful)
        # Its end is an error here, since the server has ended it.
        stack.callback(connection.close)
        connection.execute("INSERT INTO prompt_usage (prompt_id) VALUES (gen_random_uuid())")
        deployment.set(PID=str(connection.info.backend_pid))
        deployment.append(dt.datetime.now(dt.UTC))
        deployment.refresh()
        assert deployment.published() == deployment.events - 1
        yield ["forgetful", "pg_terminate_backend"]
        deployment.refresh()


@trouble("The disk is full")
def full_disk(deployment: Deployment) -> Iterator[list[str]]:
    yield ["prompt_usage", "files joined", "1 raw events removed"]
    assert deployment.execute("SELECT count(*) FROM prompt_usage") == [(deployment.events - 1,)]


@trouble("A partition is damaged")
def damaged_partition(deployment: Deployment) -> Iterator[list[str]]:
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    deployment.damage(yesterday.date())
    deployment.append(yesterday)
    yield [f"repaired {yesterday.date()}"]
    [(counted,)] = deployment.execute("SELECT usage_count FROM stats_refresh ORDER BY id DESC LIMIT 1")
    assert counted == deployment.events


@trouble("A number is said to be wrong")
def wrong_number(deployment: Deployment) -> Iterator[list[str]]:
    deployment.execute("UPDATE prompts SET usage_count = 4711 WHERE slug = %s", SLUG)
    deployment.execute("UPDATE prompt_stats SET usage_count = usage_count + 815")
    yield ["4711", "corrected: 1 rows of prompts", "raw events"]
    [(count,)] = deployment.execute("SELECT usage_count FROM prompts WHERE slug = %s", SLUG)
    assert count == deployment.events


@trouble("A backfill failed")
def failed_backfill(deployment: Deployment) -> Iterator[list[str]]:
    day = dt.datetime.combine(FIRST_DAY, dt.time(12), dt.UTC)
    deployment.append(day)
    deployment.refresh()
    deployment.damage(FIRST_DAY)
    yield ["stale days"]
    held = DeltaTable(f"{settings().lake}/usage_events").to_pyarrow_dataset()
    assert held.count_rows() == deployment.events


@trouble("A clock is wrong")
def wrong_clock(deployment: Deployment) -> Iterator[list[str]]:
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)
    deployment.append(ahead)
    yield [str(ahead.date()), "UPDATE 1"]
    deployment.refresh()


@trouble("Rejected events pile up")
def rejected_events(deployment: Deployment) -> Iterator[list[str]]:
    deployment.execute("DELETE FROM prompts WHERE slug = 'fitness-yoga-sunrise'")
    with PromptTracker(deployment.database.conninfo) as tracker:
        tracker.track_post_creation(prompt_id="fitness-yoga-sunrise", success=True)
        tracker.track_post_creation(prompt_id="no-such-prompt", success=True)
    deployment.events += 1
    yield [
        "no prompt has the id or slug",
        "1 imported",
        "1 events accepted, 1 rejected again",
        "1 events discarded",
    ]
    deployment.refresh()


@trouble("Events are missing")
def missing_events(deployment: Deployment) -> Iterator[list[str]]:
    deployment.execute(
        "INSERT INTO posts (id, prompt_id, created_at)"
        " SELECT gen_random_uuid(), id, now() - interval '1 day' FROM prompts WHERE slug = %s",
        SLUG,
    )
    with PromptTracker("postgresql://127.0.0.1:1/nowhere", journal_dir=settings().journal_dir) as tracker:
        tracker.track_post_creation(prompt_id=SLUG, success=True)
        tracker.close(0)
    deployment.events += 2
    yield ["1 of 1 posts", "1 events appended", "1 events sent"]
    deployment.refresh()


@trouble("The lake moved")
def moved_lake(deployment: Deployment) -> Iterator[list[str]]:
    elsewhere = deployment.home.with_name("elsewhere")
    shutil.move(settings().lake, elsewhere)
    deployment.set(PROMPT_STATS_LAKE_URI=elsewhere, LAKE=elsewhere)
    yield [r"stale days +none", "days compared with Postgres"]


@trouble("A setting is refused")
def refused_setting(deployment: Deployment) -> Iterator[list[str]]:
    deployment.set(PROMPT_STATS_START_DATE=(FIRST_DAY - dt.timedelta(days=1)).isoformat())
    refused = invoke("refresh").exception
    assert isinstance(refused, PromptStatsError)
    assert f"PROMPT_STATS_START_DATE={FIRST_DAY}" in str(refused)
    yield ["Until then the stats stay", "events counted"]
    deployment.set(PROMPT_STATS_START_DATE=FIRST_DAY.isoformat())
    assert invoke("accept-settings", "--yes").exit_code == 0
    deployment.refresh()


@trouble("The database was restored")
def restored_database(deployment: Deployment) -> Iterator[list[str]]:
    # As after a recovery to an earlier moment; a real dump is restored below.
    deployment.execute("UPDATE stats_lake_token SET token = token + 1")
    yield ["stale days"]
    deployment.refresh()


@trouble("The API answers 503")
def unwell_api(_deployment: Deployment) -> Iterator[list[str]]:
    yield ["Nothing to do: the schema is at"]


@trouble("The embedded server does not start")
def broken_server(deployment: Deployment) -> Iterator[list[str]]:
    home = deployment.home.with_name("broken")
    area = home / "postgres" / "area"
    (area / "data").mkdir(parents=True)
    (area / "server.log").write_text("FATAL: out of something\n")
    # Where root's server may go.
    for folder in (home, home / "postgres", area, *home.parents[:3]):
        folder.chmod(0o755)
    before = os.environ["DATABASE_URL"]
    deployment.set(DATABASE_URL=None, PROMPT_STATS_HOME=home)
    yield ["Starting the embedded server", "out of something"]
    deployment.set(DATABASE_URL=before, PROMPT_STATS_HOME=deployment.home)


@trouble("Dagster's storage grows")
def large_storage(deployment: Deployment) -> Iterator[list[str]]:
    assert (deployment.home / "dagster" / "history").exists()
    yield [str(deployment.home / "dagster")]
    # The restore below begins with an empty one.
    assert [file.name for file in (deployment.home / "dagster").iterdir()] == ["dagster.yaml"]


@trouble("Folders are left in /tmp")
def left_folders(_deployment: Deployment) -> Iterator[list[str]]:
    tmp = Path(os.environ["TMPDIR"])
    old, new = tmp / "prompt-stats-old", tmp / "prompt-stats-new"
    for folder in (old, new):
        folder.mkdir()
    days_ago = time.time() - 2 * 86_400
    os.utime(old, (days_ago, days_ago))
    yield []
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("section", COMMANDS)
def test_the_commands_of_a_section_help(
    deployment: Deployment, client: httpx.Client, section: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with SCENARIOS[section](deployment) as texts:
        said = ""
        for line in COMMANDS[section]:
            command = line.replace(SERVED, str(client.base_url).rstrip("/"))
            code, output = deployment.run(command, capfd)
            expected = 1 if line.endswith("# ends with 1") else 0
            assert code == expected, f"{line}: {output}"
            said += " ".join(output.split()) + "\n"
        for text in texts:
            assert re.search(text, said), f"{text!r} is not in {said}"
    assert deployment.published() == deployment.events


def test_a_dump_and_a_copy_of_the_lake_come_back(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    found = sections(DEPLOYMENT)

    def run(lines: list[str]) -> None:
        for line in lines:
            code, output = deployment.run(line, capfd)
            assert code == 0, f"{line}: {output}"

    run(found["Back up"])
    published = deployment.published()
    # What comes after the dump is not in it.
    deployment.append(dt.datetime.now(dt.UTC))
    first_on_restored = found["Restore"].index("prompt-stats claim-lake")
    run(found["Restore"][:first_on_restored])
    restored = make_conninfo(deployment.database.conninfo, dbname="restored")
    deployment.set(DATABASE_URL=restored, PROMPT_STATS_LAKE_URI=f"{os.environ['RESTORED']}/lake")
    run(found["Restore"][first_on_restored:])
    with psycopg.connect(restored) as connection:
        counted = "SELECT sum(usage_count)::int, (SELECT count(*) FROM stats_expired_day) FROM prompt_stats"
        assert connection.execute(counted).fetchone() == (published, 1)


def test_the_table_sends_to_sections_and_its_commands_stand_there() -> None:
    [table] = re.findall(r"^## What is wrong\?\n\n((?:\|.*\n)+)", OPERATIONS, re.MULTILINE)
    run = [line for lines in COMMANDS.values() for line in lines]
    for span in re.findall(r"`([^`]+)`", table):
        assert any(span in line for line in run) or span in {"PROMPT_STATS_LAKE_URI", "find"}, span
    assert SCENARIOS.keys() == COMMANDS.keys()


def test_rules_and_page_name_the_metrics_that_there_are(client: httpx.Client) -> None:
    text = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    families = list(text_string_to_metric_families(text))
    samples = {sample.name for family in families for sample in family.samples}
    [group] = RULES["groups"]
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert set(re.findall(r"\bprompt_stats_\w+", rule["expr"])) <= samples, rule["alert"]
    assert set(re.findall(r"`(prompt_stats_\w+)`", OPERATIONS.split("## Metrics")[1])) == {
        family.name for family in families if not family.name.endswith("_created")
    }
