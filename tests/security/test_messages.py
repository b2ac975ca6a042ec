"""A name forges nothing: no line of a mail or a log, no link in Slack, no cell of a table in Dagster's UI."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Message, Receive, Scope, Send

from pipeline import formats
from pipeline.alerts import notifier
from pipeline.alerts.messages import digest, run_failure, subject
from pipeline.alerts.states import News
from pipeline.logs import json_formatter
from pipeline.settings import Settings
from pipeline.web.api.operation import BY_KEY, GAUGES, Measure, Metrics, _Published
from tests.receivers import MailServer, Webhook, mail_server, webhook
from tests.security.texts import HOSTILE
from tests.unit.test_alert_messages import AT, ROW

SLACK = "<!channel> <https://evil.example|click> *bold* _i_ ~s~ `code` &lt; @here"
NAME = f"{HOSTILE}{SLACK}\nBcc: everybody@example.org\r\n\r\nALERT raised: forged"
SEPARATORS = ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[Webhook, MailServer]]:
    """A webhook and a mail server."""
    with webhook() as hook, mail_server() as mail:
        yield hook, mail


def told(name: str) -> Any:
    """A message of two alerts, of a prompt and a scene of that name."""
    prompt = {**ROW, "prompt_name": name, "prompt_id": name}
    scene = {**ROW, "scope": "scene", "scene": name}
    return digest([(News.RAISED, prompt), (News.RAISED, scene)], AT)


MESSAGES = [
    pytest.param(told(NAME), 3, id="alerts"),
    pytest.param(run_failure(f"job{NAME}", "run", NAME, NAME), 2, id="run failure"),
]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
@given(before=st.text(max_size=5), after=st.text(max_size=5))
def test_an_alert_is_a_line_whatever_is_in_a_name(separator: str, before: str, after: str) -> None:
    name = f"{before}{separator}{after}"
    message = told(name)
    *alerts, next_step = message["text"].splitlines()
    assert len(alerts) == 2
    assert next_step == "Next: run prompt-stats alerts; to mute it for a day: prompt-stats alerts --silence 1"
    assert [alert["promptName"] for alert in message["alerts"]] == [name, "Casual selfie"]
    assert [alert["scene"] for alert in message["alerts"]] == [None, name]
    assert (
        subject({**ROW, "prompt_name": name}).isprintable()
        or set(name) & set(formats.JOINERS)
        or any(unicodedata.category(each) in {"Zs", "Co", "Cn"} for each in name)
    )


@pytest.mark.parametrize(("message", "lines"), MESSAGES)
def test_a_mail_has_the_lines_and_the_headers_that_we_wrote(
    receivers: tuple[Webhook, MailServer], message: Any, lines: int
) -> None:
    _, mail = receivers
    settings = Settings.model_validate(
        {"PROMPT_STATS_ALERT_EMAIL_TO": "a@example.org", "PROMPT_STATS_ALERT_SMTP_URL": mail.url}
    )
    notifier.send_now(settings, message)
    letter = mail.letters.pop()
    assert {name.lower() for name in letter} <= {
        "subject",
        "from",
        "to",
        "message-id",
        "content-type",
        "content-transfer-encoding",
        "mime-version",
    }
    assert letter["Subject"] == " ".join(message["title"].split())
    body = letter.get_content().replace("\r\n", "\n")
    assert len(body.rstrip("\n").splitlines()) == lines
    assert not [each for each in body if each in SEPARATORS[1:] or each in "\x1b\u202e\x9b"]


@pytest.mark.parametrize(("message", "lines"), MESSAGES)
def test_slack_gets_neither_markup_nor_links_nor_calls(
    receivers: tuple[Webhook, MailServer], message: Any, lines: int
) -> None:
    hook, _ = receivers
    settings = Settings.model_validate(
        {"PROMPT_STATS_ALERT_WEBHOOK_URL": hook.url, "PROMPT_STATS_ALERT_WEBHOOK_FORMAT": "slack"}
    )
    notifier.send_now(settings, message)
    posted = hook.posted.pop()
    assert (posted["mrkdwn"], posted["unfurl_links"], posted["unfurl_media"]) == (False, False, False)
    assert not set("<>") & set(posted["text"])
    assert "&lt;!channel&gt; &lt;https://evil.example|click&gt;" in posted["text"]
    assert len(posted["text"].splitlines()) == 1 + lines


def test_a_line_of_the_json_log_is_forged_by_no_text() -> None:
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(json_formatter())
    logger = logging.Logger("pipeline.somewhere")
    logger.addHandler(handler)
    logger.warning("failed: %s", NAME, extra={NAME: NAME})
    [line] = file.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == f"failed: {NAME}"


@given(st.text() | st.just(NAME))
def test_a_cell_in_dagsters_ui_shows_a_text_and_nothing_else(text: str) -> None:
    table = formats.markdown_table(["name", "n"], [[formats.markdown(text), "1"], ["last", "2"]])
    tokens = MarkdownIt("commonmark").enable("table").parse(table)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 6
    assert {token.type for token in cells[2].children or []} <= {"text", "text_special"}
    shown = "".join(token.content for token in cells[2].children or [])
    assert shown == " ".join(formats.visible(text).split())


def test_labels_of_metrics_are_ours_or_escaped() -> None:
    row: Any = {"rows_written": msgspec.json.encode({NAME: 1}), "seconds": None}
    collector = _Published([{**dict.fromkeys([*GAUGES, *BY_KEY]), **row}])
    metrics = Metrics()
    metrics.registry.register(collector)
    text = generate_latest(metrics.registry).decode()
    [label] = [
        sample.labels["table"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "prompt_stats_rows_written"
    ]
    assert label == NAME


def test_a_method_that_a_client_makes_up_is_no_series_of_its_own() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 405, "headers": []})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        return None

    metrics = Metrics()
    measure = Measure(app, metrics)
    for number in range(100):
        asyncio.run(measure({"type": "http", "method": f"FORGED{number}"}, receive, send))
    asyncio.run(measure({"type": "http", "method": "GET"}, receive, send))
    text = generate_latest(metrics.registry).decode()
    assert "FORGED" not in text
    assert 'prompt_stats_requests_total{method="other",route="none",status="405"} 100.0' in text
    assert 'prompt_stats_requests_total{method="GET",route="none",status="405"} 1.0' in text
