"""The files of ``deploy``: their syntax, and that the commands, variables and metrics they name are there."""

from __future__ import annotations

import configparser
import datetime as dt
import itertools
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dagster as dg
import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import psycopg
import pytest
import typer.main
import yaml
from click.testing import CliRunner
from dagster._cli import create_dagster_cli
from dagster._config import process_config, resolve_to_config_type
from dagster._daemon.cli import create_dagster_daemon_cli
from dagster_docker import DockerRunLauncher
from dagster_k8s import K8sRunLauncher
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.adoption.schema import migrate
from pipeline.cli.main import app
from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.orchestration.forgetting import forget
from pipeline.orchestration.instance import EVENT_SETTINGS
from pipeline.orchestration.jobs import VALUES_JOB
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.app import at
from tests.command import REPOSITORY
from tests.conftest import NewDatabase

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
CODE_UNIT = DEPLOY / "systemd" / "prompt-stats-code.service"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
INSTANCE: dict[str, Any] = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
KUBERNETES = [DEPLOY / "kubernetes" / name for name in ("prompt-stats.yaml", "run-launcher-role.yaml")]
KUBERNETES_VERSION = "1.34"
INSTALLED = "/opt/prompt-stats"
PASSWORD = "for-the-test"  # noqa: S105  # on a server that lives as long as the tests

PROGRAMS: dict[str, click.Command] = {
    "prompt-stats": typer.main.get_command(app),  # type: ignore[dict-item]  # Typer's own copy of Click
    "dagster": create_dagster_cli(),  # type: ignore[no-untyped-call]
    "dagster-daemon": create_dagster_daemon_cli(),
}
WORKSPACE = ("-w", "--workspace")
RUNNER = CliRunner()
KNOWN_VARIABLES = {
    *(str(field.validation_alias) for field in Settings.model_fields.values()),
    *EVENT_SETTINGS,
    *(value["env"] for value in INSTANCE["storage"]["postgres"]["postgres_db"].values() if "env" in value),
    "DAGSTER_HOME",
    "TMPDIR",
}


def section(unit: Path, name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    parser.read_string(unit.read_text(encoding="utf-8"))
    assert parser.sections() == ["Unit", "Service", "Install"]
    return parser[name]


def environment_file() -> dict[str, str]:
    words = shlex.split((DEPLOY / "prompt-stats.env").read_text(encoding="utf-8"), comments=True)
    return dict(word.split("=", 1) for word in words)


def parsed(words: list[str]) -> int:
    """The exit code of a command line that is read as its program reads it, and not run."""
    return RUNNER.invoke(PROGRAMS[Path(words[0]).name], [*words[1:], "--help"]).exit_code


def commands() -> Iterator[list[str]]:
    for unit in UNITS:
        yield shlex.split(section(unit, "Service")["ExecStart"])
    for service in SERVICES.values():
        if "command" in service:
            yield service["command"]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_service_starts_a_command_that_there_is(words: list[str]) -> None:
    assert parsed(words) == 0
    assert all(
        (REPOSITORY / word.removeprefix(f"{INSTALLED}/")).exists() for word in words if ".yaml" in word
    )


def test_everybody_asks_the_code_server_where_it_listens() -> None:
    given = yaml.safe_load((DEPLOY / "workspace.yaml").read_text(encoding="utf-8"))
    unit = dict(itertools.pairwise(shlex.split(section(CODE_UNIT, "Service")["ExecStart"])))
    container = dict(itertools.pairwise(SERVICES["code"]["command"]))
    for workspace, address, options in (
        (given, {"socket": unit["--socket"]}, unit),
        (
            yaml.safe_load(COMPOSE["configs"]["workspace"]["content"]),
            {"host": "code", "port": int(container["--port"])},
            container,
        ),
    ):
        expected = {**address, "location_name": options["--location-name"]}
        assert workspace == {"load_from": [{"grpc_server": expected}]}
        assert options["--module-name"] == "pipeline.definitions"
    asked = [
        words[words.index(option) + 1] for words in commands() for option in WORKSPACE if option in words
    ]
    assert asked == [f"{INSTALLED}/deploy/workspace.yaml"] * 4


def test_other_users_of_the_machine_do_not_reach_the_code_server() -> None:
    service = section(CODE_UNIT, "Service")
    socket = dict(itertools.pairwise(shlex.split(service["ExecStart"])))["--socket"]
    assert Path(socket).parent == Path("/run") / service["RuntimeDirectory"]
    assert service["RuntimeDirectoryMode"] == "0700"


def test_the_ui_is_served_behind_the_guard_and_to_this_machine_alone() -> None:
    assert not [words for words in commands() if "webserver" in Path(words[0]).name]
    [unit, container] = [words for words in commands() if words[1] == "ui"]
    assert unit[unit.index("--host") + 1] == "127.0.0.1"
    # Of the container; whoever reaches it from elsewhere is not answered.
    assert container[container.index("--host") + 1] == "0.0.0.0"  # noqa: S104
    assert SERVICES["webserver"]["environment"]["PROMPT_STATS_UI_HOSTS"].endswith(":-localhost}")
    assert SERVICES["webserver"]["ports"] == ["127.0.0.1:3000:3000"]


def test_what_starts_runs_waits_for_them_when_it_is_stopped() -> None:
    """Only the code server has runs: told alone to stop, it waits; a group that is told would break off."""
    code = section(CODE_UNIT, "Service")
    assert (code["KillMode"], code["TimeoutStopSec"]) == ("mixed", "300")
    assert SERVICES["code"]["stop_grace_period"] == "5m"
    assert not [unit.name for unit in UNITS if unit != CODE_UNIT and "KillMode" in section(unit, "Service")]


def test_a_command_line_that_is_wrong_is_told() -> None:
    assert parsed(["prompt-stats", "serve", "--prot", "8000"]) == 2
    assert parsed(["dagster-daemon", "runs"]) == 2


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_one_and_is_locked_in(unit: Path, tmp_path: Path) -> None:
    service = section(unit, "Service")
    assert service["User"] == "prompt-stats"
    assert service["EnvironmentFile"] == "/etc/prompt-stats/prompt-stats.env"
    home = environment_file()["PROMPT_STATS_HOME"]
    assert home == service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    hardened = {
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "PrivateTmp": "yes",
        "ProtectHome": "yes",
    }
    assert {name: service[name] for name in hardened} == hardened
    # As it would be installed, with the programs that this environment has.
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace(f"{INSTALLED}/.venv/bin", str(Path(sys.executable).parent)))
    if analyze := shutil.which("systemd-analyze"):
        said = subprocess.run([analyze, "verify", here], capture_output=True, text=True, check=False)
        assert (said.returncode, said.stderr) == (0, "")


def test_variables_are_those_that_are_read() -> None:
    given = environment_file()
    assert given.keys() <= KNOWN_VARIABLES
    assert given.keys() >= {*EVENT_SETTINGS, "DATABASE_URL", "DAGSTER_HOME"}
    Settings.model_validate(given)
    assert Path(given["DAGSTER_HOME"]) == Settings.model_validate(given).dagster_home
    for service in SERVICES.values():
        if service["image"] == "prompt-stats":
            assert service["environment"].keys() <= KNOWN_VARIABLES
            assert service["environment"].items() >= EVENT_SETTINGS.items()
    for values in (given, SERVICES["daemon"]["environment"]):
        assert values.keys() >= {name for name in KNOWN_VARIABLES if name.startswith("DAGSTER_POSTGRES")}


def test_a_shell_reads_the_variables_as_systemd_does(tmp_path: Path) -> None:
    url = "postgresql://pipeline:secret@host/app?sslmode=require&connect_timeout=3"
    here = tmp_path / "prompt-stats.env"
    given = (DEPLOY / "prompt-stats.env").read_text(encoding="utf-8")
    here.write_text(given.replace(environment_file()["DATABASE_URL"], url))
    read = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && echo "$DATABASE_URL"', "sh", here],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == f"{url}\n"


def test_what_does_not_fit_into_memory_goes_to_a_disk() -> None:
    folder = environment_file()["TMPDIR"]
    for service in SERVICES.values():
        if service["image"] == "prompt-stats":
            assert service["environment"]["TMPDIR"] == folder
            assert f"spill:{folder}" in service["volumes"]


def test_compose_names_what_it_declares() -> None:
    named = {volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])}
    files = {name for name in named if name.startswith(".")}
    assert named - files == COMPOSE["volumes"].keys()
    assert all((DEPLOY / name).is_file() for name in files)
    assert {each["source"] for name in SERVICES for each in SERVICES[name].get("configs", [])} == COMPOSE[
        "configs"
    ].keys()
    assert {name for each in SERVICES.values() for name in each.get("depends_on", {})} <= SERVICES.keys()
    assert all(port.startswith("127.0.0.1:") for each in SERVICES.values() for port in each.get("ports", []))
    build = SERVICES["migrate"]["build"]
    dockerfile = (DEPLOY / build["context"] / build["dockerfile"]).resolve()
    assert dockerfile.is_file()


def objects() -> list[dict[str, Any]]:
    """What is applied to Kubernetes."""
    return [item for file in KUBERNETES for item in yaml.safe_load(file.read_text(encoding="utf-8"))["items"]]


@pytest.mark.parametrize("item", objects(), ids=lambda item: f"{item['kind']} {item['metadata']['name']}")
def test_kubernetes_knows_each_field(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, KUBERNETES_VERSION, strict=True)


def test_pods_start_commands_that_there_are_with_all_variables() -> None:
    by_kind: dict[str, dict[str, dict[str, Any]]] = {}
    for item in objects():
        by_kind.setdefault(item["kind"], {})[item["metadata"]["name"]] = item
    given = by_kind["ConfigMap"]["prompt-stats"]["data"]
    assert given.keys() <= {*KNOWN_VARIABLES, "AWS_REGION"}
    assert given.items() >= EVENT_SETTINGS.items()
    assert Settings.model_validate(given).dagster_home == Path(given["DAGSTER_HOME"])
    deployments = by_kind["Deployment"]
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert parsed([*container["command"], *container.get("args", [])]) == 0, name
        for each in (container, *pod["initContainers"]):
            assert each["securityContext"]["readOnlyRootFilesystem"], name
            assert {mount["name"] for mount in each["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        [home] = pod["initContainers"]
        assert home["args"][-1] == f"{given['DAGSTER_HOME']}/dagster.yaml"
        # The volume itself is open to its group, and such a home would be refused.
        assert given["PROMPT_STATS_HOME"] not in {mount["mountPath"] for mount in container["volumeMounts"]}
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
    for name in ("prompt-stats-code", "prompt-stats-daemon"):
        assert (deployments[name]["spec"]["replicas"], deployments[name]["spec"]["strategy"]["type"]) == (
            1,
            "Recreate",
        )
    assert by_kind["Service"].keys() == {"prompt-stats-code", "prompt-stats-serve"}
    workspace = yaml.safe_load((DEPLOY / "kubernetes" / "workspace.yaml").read_text(encoding="utf-8"))
    assert workspace["load_from"][0]["grpc_server"]["host"] in by_kind["Service"]


@pytest.mark.parametrize(
    ("folder", "launcher"), [("docker", DockerRunLauncher), ("kubernetes", K8sRunLauncher)]
)
def test_dagster_takes_the_configuration_of_its_run_launchers(
    folder: str, launcher: type[DockerRunLauncher | K8sRunLauncher]
) -> None:
    read = yaml.safe_load((DEPLOY / folder / "run-launcher.yaml").read_text(encoding="utf-8"))["run_launcher"]
    assert (read["module"], read["class"]) == (launcher.__module__.split(".")[0], launcher.__name__)
    assert "run_launcher" not in INSTANCE
    known = resolve_to_config_type(launcher.config_type())  # type: ignore[no-untyped-call]  # Dagster's own
    found = process_config(known, read["config"])
    assert found.success, found.errors
    assert not process_config(known, {**read["config"], "imgae": "prompt-stats"}).success


@pytest.fixture
def production(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dg.DagsterInstance]:
    """Dagster as ``deploy/dagster.yaml`` has it, with a database of its own for its storage."""
    shutil.copy(DEPLOY / "dagster.yaml", tmp_path)
    root = logging.getLogger("pipeline")
    level = root.level
    with new_database("template0") as database:
        given = conninfo_to_dict(database.conninfo)
        for name, key in {
            "HOST": "host",
            "PORT": "port",
            "USER": "user",
            "PASSWORD": "password",
            "DB": "dbname",
        }.items():
            monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", str(given[key]))
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            yield instance
    root.setLevel(level)


@dg.op
def refuse() -> None:
    """What a fault does."""
    raise ValueError("on purpose")


@dg.job
def refused() -> None:
    """A run that fails."""
    refuse()


# Dagster calls handlers of dagster.yaml a beta: lines as JSON with the run's id can't be had otherwise.
@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_dagster_runs_on_its_production_configuration(
    production: dg.DagsterInstance, database: Database, lake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database.conninfo) as application:
        application.execute("INSERT INTO prompt_usage (prompt_id) VALUES (%s)", (uuid.UUID(int=7),))
    refresh(at(database, lake))
    values = {"PROMPT_STATS_LAKE_URI": lake}
    definitions = build_definitions(Stores(Settings.model_validate(values), database))
    job = definitions.resolve_job_def(VALUES_JOB)
    earlier = job.execute_in_process(instance=production)
    capsys.readouterr()
    run = job.execute_in_process(instance=production)

    stored = production.get_run_by_id(run.run_id)
    assert stored
    assert stored.is_success
    said = [event.user_message for event in production.all_logs(run.run_id) if not event.dagster_event]
    assert any(re.match(r"published {.+} by value", message) for message in said)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["logger"] == "pipeline.publish.values"]
    assert re.match(r"published {.+} by value as of ", line["message"])
    assert (line["level"], line["run_id"], line["job_name"]) == ("info", run.run_id, VALUES_JOB)

    refused.execute_in_process(instance=production, raise_on_error=False)
    failures = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["level"] for line in failures] == ["error", "error"]
    assert "ValueError: on purpose" in failures[0]["exception"]
    assert "dagster_event" not in failures[0]

    assert forget(production, dt.datetime.now(dt.UTC)) == 2
    assert [production.has_run(each.run_id) for each in (earlier, run)] == [False, True]


def test_the_services_connect_as_owners_that_are_no_superusers(server_url: str, lake: str) -> None:
    """The triggers of ours run with the rights of whoever migrates."""
    environment = SERVICES["serve"]["environment"]
    owner = conninfo_to_dict(with_password(environment["DATABASE_URL"]))
    # The server of the tests has a database of that name.
    create = re.sub(
        r"DATABASE (\w+)", r"DATABASE \1_of_compose", COMPOSE["configs"]["create_databases"]["content"]
    )
    owned = {
        owner["user"]: owner["dbname"],
        environment["DAGSTER_POSTGRES_USER"]: environment["DAGSTER_POSTGRES_DB"],
    }
    urls = {
        user: make_conninfo(server_url, user=user, password=PASSWORD, dbname=f"{name}_of_compose")
        for user, name in owned.items()
    }
    with psycopg.connect(server_url, autocommit=True) as superuser:
        try:
            for statement in with_password(create).split(";\n"):
                superuser.execute(statement.encode())
            for url in urls.values():
                with psycopg.connect(url) as session:
                    assert session.execute(
                        "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = user"
                    ).fetchone() == (False,)
            for user, other in itertools.permutations(urls):
                there = conninfo_to_dict(urls[other])["dbname"]
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(make_conninfo(urls[user], dbname=there))
            database = Database.from_url(urls[str(owner["user"])])
            migrate(database)
            refresh(at(database, lake))
            database.close()
        finally:
            for user, name in owned.items():
                superuser.execute(f'DROP DATABASE IF EXISTS "{name}_of_compose" WITH (FORCE)'.encode())
                superuser.execute(f'DROP ROLE IF EXISTS "{user}"'.encode())


def with_password(text: str) -> str:
    """What Compose makes of it, where every password is that of the test."""
    return re.sub(r"\$\{\w+:\?\}", PASSWORD, text)
