"""With PROMPT_STATS_LOG_FORMAT=json everything on standard error is JSON, and no secret is in it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipeline.database.connections import Database
from tests.command import environment, prompt_stats

JSON = {"PROMPT_STATS_LOG_FORMAT": "json"}
UNTOLD = "not-to-be-told"


def test_a_server_logs_json_from_its_start(database: Database, tmp_path: Path) -> None:
    given = environment(
        tmp_path, DATABASE_URL=database.conninfo, PROMPT_STATS_API_TOKEN=f"read:{UNTOLD}", **JSON
    )
    command = [sys.executable, "-m", "pipeline", "serve", "--port", "0"]
    with subprocess.Popen(command, env=given, cwd="/", stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(json.loads(line))
            if "running on" in said[-1]["message"]:
                server.send_signal(signal.SIGINT)
    assert "Finished server process" in said[-1]["message"]
    password = conninfo_to_dict(database.conninfo)["password"]
    assert UNTOLD not in str(said)
    assert str(password) not in str(said)


def test_a_failed_command_says_why_in_json(database: Database, tmp_path: Path) -> None:
    wrong = make_conninfo(database.conninfo, password=UNTOLD)
    done = prompt_stats(tmp_path, "status", DATABASE_URL=wrong, **JSON)

    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert (line["level"], line["logger"]) == ("error", "pipeline.cli.failures")
    assert "Check DATABASE_URL" in line["message"]
    assert UNTOLD not in done.stderr
