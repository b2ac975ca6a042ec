"""Runs psql as people do: against a database of the tests, with the server's own program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from psycopg.pq import Conninfo

from pipeline.database.connections import Database
from pipeline.database.embedded.server import binaries


def libpq_environment(database: Database) -> dict[str, str]:
    """This environment, with the variables by which psql and node-postgres find the database."""
    options = Conninfo.parse(database.conninfo.encode())
    given = {each.envvar.decode(): each.val.decode() for each in options if each.envvar and each.val}
    return {**os.environ, **given}


DEFAULT = re.compile(r"\\if :\{\?(\w+)\}\n\\else\n\\set \1 (\S+)\n\\endif\n")
"""How a file gives a variable a value where psql was given none."""


def interpolated(file: Path, **variables: object) -> str:
    """The statement of a file for psql with its variables filled in as psql does it: for other clients."""
    text = file.read_text(encoding="utf-8")
    values = {name: value.strip("'") for name, value in DEFAULT.findall(text)}
    assert variables.keys() <= values.keys()
    values |= {name: str(value) for name, value in variables.items()}
    text = DEFAULT.sub("", text)
    for name, value in values.items():
        text = text.replace(f":'{name}'", "'" + value.replace("'", "''") + "'")
        text = re.sub(rf"(?<!:):{name}\b", value, text)
    return text


def psql(database: Database, *arguments: str, text: str = "") -> str:
    """What psql prints, which has to succeed; ``text`` is its standard input."""
    done = subprocess.run(
        [shutil.which("psql") or binaries() / "psql", "--no-psqlrc", *arguments],
        input=text,
        env=libpq_environment(database),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
