"""No secret of the environment is said by any command, in any error, log line or finding."""

from __future__ import annotations

import copy
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.database.conninfo import libpq_conninfo
from pipeline.errors import DatabaseError, LakeError, readable
from pipeline.logs import json_formatter
from pipeline.redaction import redacted
from pipeline.settings import Settings
from tests.command import prompt_stats

SECRET = "S3cr/et+Hush"  # noqa: S105  # it opens nothing
ENCODED = "S3cr%2Fet%2BHush"
PIECES = ("S3cr", "Hush")
NOWHERE = f"postgresql://app:{ENCODED}@127.0.0.1:1/app"

GIVEN = {
    "DATABASE_URL": NOWHERE,
    "PROMPT_STATS_READ_URL": NOWHERE,
    "PROMPT_STATS_API_TOKEN": f"read:{SECRET}",
    "PROMPT_STATS_ALERT_WEBHOOK_URL": f"http://127.0.0.1:1/hooks/{SECRET}?token={SECRET}",
    "PROMPT_STATS_ALERT_EMAIL_TO": "a@example.org",
    "PROMPT_STATS_ALERT_SMTP_URL": f"smtp://mailer:{ENCODED}@127.0.0.1:1",
    "SPARK_REMOTE": f"sc://127.0.0.1:1/;token={SECRET}",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
}
WITH_LAKE = {"PROMPT_STATS_LAKE_URI": f"s3://key:{SECRET}@bucket/lake"}
UNREADABLE = {"DATABASE_URL": f"postgresql://app:{SECRET}@127.0.0.1:1/app"}

COMMANDS = (
    "doctor",
    "doctor --json",
    "migrate",
    "seed-prompts",
    "simulate --events 1 --days 1",
    "refresh",
    "backfill --from 2026-01-01 --to 2026-01-02",
    "reconcile",
    "keep-up",
    "retain --days 5",
    "erase-user 6f9619ff-8b86-4011-b42d-00c04fc964ff",
    "status --json",
    "check",
    "top",
    "show x",
    "compare x y",
    "drift",
    "alerts",
    "export prompts",
    "report",
    "send-journal .",
    "track-missing",
    "rejected list",
    "exec true",
    "serve",
    "ui",
    "demo",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_says_a_secret(tmp_path: Path, command: str) -> None:
    ended = prompt_stats(tmp_path, *command.split(), **GIVEN, PROMPT_STATS_LOG_FORMAT="json")
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "127.0.0.1" in said
    assert [piece for piece in PIECES if piece in said] == []


@pytest.mark.parametrize("command", ["doctor", "status", "refresh", "serve", "report"])
@pytest.mark.parametrize("given", [WITH_LAKE, UNREADABLE], ids=["lake", "database"])
def test_what_can_not_be_read_is_not_repeated(tmp_path: Path, command: str, given: dict[str, str]) -> None:
    ended = prompt_stats(tmp_path, command, **{**GIVEN, **given})
    said = ended.stdout + ended.stderr
    [variable] = given
    assert ended.returncode == 1
    assert variable in said
    assert [piece for piece in PIECES if piece in said] == []


def test_other_addresses_of_a_lake_are_taken() -> None:
    for uri in (
        "/srv/a@b:c/lake",
        "s3://bucket/team@x/lake",
        "abfss://container@account.dfs.core.windows.net/a",
    ):
        assert Settings.model_validate({"PROMPT_STATS_LAKE_URI": uri}).lake == uri
    assert SECRET not in repr(Settings.model_validate({**GIVEN, "PROMPT_STATS_LAKE_URI": "s3://bucket/lake"}))


@given(st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="'\"<>"), min_size=3))
def test_whatever_a_password_holds(password: str) -> None:
    said = redacted(f"Opening s3://key:~{password}~@bucket/lake: no such host")
    assert said == "Opening s3://…@bucket/lake: no such host"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://token@host/x", "https://…@host/x"),
        ("sc://host:15002/;token=abc;user_id=x", "sc://host:15002/;token=…;user_id=x"),
        ("https://host/x?sig=abc&a=1&X-Amz-Signature=d#f", "https://host/x?sig=…&a=1&X-Amz-Signature=…#f"),
        ("host=h password='a b' dbname=d", "host=h password=… dbname=d"),
        ("<Code>A</Code><Token-0>a/b+c=</Token-0>", "<Code>A</Code><Token-0>…</Token-0>"),
        (
            "<CanonicalRequest>PUT /a x-amz-security-token:b</CanonicalRequest>",
            "<CanonicalRequest>…</CanonicalRequest>",
        ),
        (
            "<CanonicalRequestBytes>50 55</CanonicalRequestBytes>",
            "<CanonicalRequestBytes>…</CanonicalRequestBytes>",
        ),
        ("http://127.0.0.1:3000/, ask a@example.org", "http://127.0.0.1:3000/, ask a@example.org"),
    ],
)
def test_what_is_taken_out(text: str, wanted: str) -> None:
    assert redacted(text) == wanted


def test_errors_and_log_lines_hold_no_secret() -> None:
    said = f"Generic S3 error at s3://key:{SECRET}@bucket/lake"
    error = LakeError(said, said, said)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logger = logging.Logger("pipeline.somewhere")
    logger.addHandler(handler)
    try:
        raise ValueError(said)
    except ValueError:
        logger.exception(said, extra={"uri": said})
    line = json.loads(stream.getvalue())
    assert "s3://…@bucket/lake" in line["message"] == line["uri"]
    texts = [str(error), error.wrong, str(copy.copy(error)), readable(ValueError(said))]
    assert SECRET not in "".join([*texts, stream.getvalue()])


@pytest.mark.parametrize("password", ["p@ss", "pa/ss", "12/34", "a@b/c"])
def test_a_password_that_is_not_encoded_is_not_taken_apart(password: str) -> None:
    with pytest.raises(DatabaseError, match="%40 for @") as refused:
        libpq_conninfo(f"postgresql+psycopg://app:{password}@host/app")
    assert password not in str(refused.value)
