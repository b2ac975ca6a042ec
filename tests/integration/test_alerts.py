"""Alerts over a real lake and Postgres, sent to a real webhook and mail server, run by Dagster."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.alerts import notifier
from pipeline.alerts.comparison import HOURS
from pipeline.alerts.evaluation import Evaluation, counts, evaluate, silence
from pipeline.alerts.messages import run_failure
from pipeline.answers import reading
from pipeline.database.connections import Database
from pipeline.definitions import build_definitions
from pipeline.errors import NotFoundError, NotificationError
from pipeline.orchestration.alerting import ALERTS_JOB, run_failures
from pipeline.orchestration.resources import Stores
from pipeline.refresh import refresh
from pipeline.settings import Settings
from tests.api import served
from tests.app import at
from tests.command import answer, prompt_stats
from tests.conftest import FIRST_DAY, NewDatabase
from tests.published import be_no_copy
from tests.receivers import SECRET, MailServer, Webhook, mail_server, webhook
from tests.roles import as_role

FAILING, SLOW, GONE, FINE, RETIRED = PROMPTS = [uuid.UUID(int=number) for number in range(1, 6)]
NAMES = ["Failing <b>", "Slow", "Gone", "Fine", "Retired"]

# 20 uses an hour each for 15 days: every tenth fails, every fifteenth takes 9 s. Three hours ago one began to
# fail every second time, one to take three times as long, and two are not used any more.
TRAFFIC = """
    INSERT INTO prompt_usage (prompt_id, scene, success, generation_time_ms, created_at)
    SELECT
        prompt_id,
        nullif(scenes.name, ''),
        NOT (number %% CASE WHEN recent AND prompt_id = %(failing)s THEN 2 ELSE 10 END = 0),
        CASE WHEN number %% 15 = 0 THEN 9000 ELSE 3000 + number * 50 END
            * CASE WHEN recent AND prompt_id = %(slow)s THEN 3 ELSE 1 END,
        clock_timestamp() - (hour * 60 + number * 3) * interval '1 minute' - interval '1 second'
    FROM generate_series(0, 371) AS hours (hour)
    CROSS JOIN generate_series(0, 19) AS numbers (number)
    CROSS JOIN unnest(%(prompts)s::uuid[], '{cafe,"",beach,cafe,cafe}'::text[]) AS scenes (prompt_id, name)
    CROSS JOIN LATERAL (SELECT hour < 3 AS recent) AS faults
    WHERE NOT (recent AND prompt_id = ANY (%(gone)s::uuid[]))
"""


@pytest.fixture
def database(new_database: NewDatabase, counted: str) -> Iterator[Database]:
    """A database in which some prompts have just become worse, with its stats."""
    with new_database(counted) as database:
        be_no_copy(database)
        yield database


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lake of :func:`counted`; tests only add what others do not look at."""
    return str(tmp_path_factory.mktemp("alerts") / "lake")


@pytest.fixture(scope="module")
def counted(new_database: NewDatabase, migrated_template: str, lake: str) -> Iterator[str]:
    """The name of a database with events and stats, to be copied."""
    with new_database(migrated_template) as database:
        with psycopg.connect(database.conninfo) as app:
            app.cursor().executemany(
                "INSERT INTO prompts (id, name, template, is_active) VALUES (%s, %s, '', %s)",
                [(id_, name, id_ != RETIRED) for id_, name in zip(PROMPTS, NAMES, strict=True)],
            )
            values = {"prompts": PROMPTS, "failing": FAILING, "slow": SLOW, "gone": [GONE, RETIRED]}
            app.execute(TRAFFIC, values)
            app.execute("INSERT INTO prompt_usage (prompt_id, created_at) VALUES (%s, NULL)", [FINE])
        refresh(at(database, lake))
        name = psycopg.conninfo.conninfo_to_dict(database.conninfo)["dbname"]
        database.close()
        yield str(name)


@pytest.fixture
def receivers() -> Iterator[tuple[Webhook, MailServer]]:
    """A webhook and a mail server."""
    with webhook() as hook, mail_server() as mail:
        yield hook, mail


@pytest.fixture
def settings(lake: str, receivers: tuple[Webhook, MailServer]) -> Settings:
    """Settings that send to both."""
    hook, mail = receivers
    return Settings.model_validate(
        {
            "PROMPT_STATS_LAKE_URI": lake,
            "PROMPT_STATS_START_DATE": FIRST_DAY,
            "PROMPT_STATS_ALERT_WEBHOOK_URL": hook.url,
            "PROMPT_STATS_ALERT_EMAIL_TO": "operator@example.org, deputy@example.org",
            "PROMPT_STATS_ALERT_SMTP_URL": mail.url,
        }
    )


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(database.conninfo, row_factory=dict_row) as connection:
        return connection.execute(query.encode()).fetchall()


def execute(database: Database, statement: str) -> None:
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(statement.encode())


def raised(done: Evaluation) -> set[tuple[Any, ...]]:
    return {
        (alert["rule"], alert["scope"], alert["prompt_id"] and uuid.UUID(alert["prompt_id"]), alert["scene"])
        for alert in done.alerts
    }


EXPECTED = {
    ("success_rate", "prompt", FAILING, None),
    ("success_rate", "scene", None, "cafe"),
    ("generation_time", "prompt", SLOW, None),
    ("generation_time", "scene", None, None),
    ("usage", "prompt", GONE, None),
    ("usage", "scene", None, "beach"),
}


def test_the_counts_are_those_of_the_raw_events(database: Database, lake: str) -> None:
    (latest,) = rows(database, "SELECT as_of FROM stats_refresh ORDER BY id DESC LIMIT 1")
    until = latest["as_of"]
    uses, times = counts(lake, until)
    recount = f"""
        SELECT scope, sum(uses)::int AS uses, sum(successes)::int AS successes, sum(timed)::int AS timed
        FROM (
            SELECT s.scope, count(*) AS uses, count(*) FILTER (WHERE success) AS successes,
                count(generation_time_ms) AS timed
            FROM prompt_usage, (VALUES ('overall'), ('scene'), ('prompt')) AS s (scope)
            WHERE created_at < '{until}' AND created_at >= '{until}'::timestamptz - '{HOURS} h'::interval
            GROUP BY s.scope
        ) AS counted
        GROUP BY scope ORDER BY scope
    """
    sums = uses.group_by("scope").agg(
        uses=pl.col("usage_count").sum().cast(pl.Int64),
        successes=pl.col("success_count").sum().cast(pl.Int64),
    )
    timed = times.group_by("scope").agg(timed=pl.col("usage_count").sum().cast(pl.Int64))
    assert sums.join(timed, on="scope").sort("scope").to_dicts() == rows(database, recount)
    by_hour = uses.filter(scope="prompt", prompt_id=str(FINE)).sort("hours_ago")
    assert by_hour["hours_ago"].to_list() == list(range(HOURS))
    assert by_hour["usage_count"].sum() == HOURS * 20


def test_the_job_finds_what_became_worse_and_tells_of_it_once(
    database: Database, settings: Settings, receivers: tuple[Webhook, MailServer], tmp_path: Path
) -> None:
    hook, mail = receivers
    with as_role(database, "pipeline") as seen, dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(Stores(settings, seen)).resolve_job_def(ALERTS_JOB)
        metadata = [
            job.execute_in_process(instance=instance)
            .asset_materializations_for_node("stats_alerts")[0]
            .metadata
            for _ in range(2)
        ]
    found = rows(database, "SELECT * FROM stats_alerts ORDER BY id")
    assert {
        tuple(alert[name] for name in ("rule", "scope", "prompt_id", "scene")) for alert in found
    } == EXPECTED
    assert [each["raised"].value for each in metadata] == [len(EXPECTED)] * 2
    assert [each["messages_sent"].value for each in metadata] == [2, 0]
    shown = str(metadata[1]["alerts"].value)
    assert "Success rate of prompt Failing" in shown
    assert "<b>" not in shown

    (posted,) = hook.posted
    assert posted["title"] == f"prompt-stats: {len(EXPECTED)} raised"
    assert {(alert["rule"], alert["promptId"]) for alert in posted["alerts"]} == {
        (rule, prompt and str(prompt)) for rule, _, prompt, _ in EXPECTED
    }
    assert {alert["news"] for alert in posted["alerts"]} == {"raised"}
    failing = next(alert for alert in posted["alerts"] if alert["promptId"] == str(FAILING))
    assert (failing["state"], failing["promptName"]) == ("ALERT", "Failing <b>")
    assert failing["text"] in posted["text"]
    assert failing["text"].startswith("Success rate of prompt Failing <b>: ")
    assert failing["pastValue"] == pytest.approx(90)
    (letter,) = mail.letters
    assert letter["Subject"] == posted["title"]
    assert letter["To"] == "operator@example.org, deputy@example.org"
    assert failing["text"] in letter.get_content()

    with served(database) as api:
        answered = api.get("/alerts").json()
    assert {(alert["rule"], alert["promptId"]) for alert in answered["alerts"]} == {
        (rule, prompt and str(prompt)) for rule, _, prompt, _ in EXPECTED
    }
    assert answered["asOf"]
    assert answered["evaluatedAt"]
    assert failing["text"] in {alert["text"] for alert in answered["alerts"]}
    said = answer(tmp_path, "alerts", DATABASE_URL=database.conninfo)
    assert [alert["text"] for alert in said["alerts"]] == [alert["text"] for alert in answered["alerts"]]


def test_what_could_not_be_sent_is_sent_later_and_once(
    database: Database,
    settings: Settings,
    receivers: tuple[Webhook, MailServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook, mail = receivers
    hook.status = 500
    caplog.set_level(logging.DEBUG)
    first = evaluate(database, settings)
    assert raised(first) == EXPECTED
    assert first.failures.keys() == {"webhook"}
    assert "500" in first.failures["webhook"]
    assert (hook.posted, len(mail.letters)) == ([], 1)
    hook.status = 200
    mail.refuses = True
    notifier.notify(database, settings, run_failure("job", "run", "disk full", None))
    assert [message["kind"] for message in hook.posted] == ["run_failure", "alerts"]
    # The same message goes under the same id.
    assert hook.ids[0] == hook.ids[2] != hook.ids[1]
    mail.refuses = False
    for _ in range(2):
        evaluate(database, settings)
    assert (len(hook.posted), len(mail.letters)) == (2, 2)
    assert rows(database, "SELECT count(*) AS left FROM stats_alert_message WHERE sent_at IS NULL") == [
        {"left": 0}
    ]
    kept = str(rows(database, "SELECT * FROM stats_alert_message"))
    assert SECRET not in caplog.text + kept + str(first)


def test_a_server_that_is_not_there_is_named_without_its_address(settings: Settings) -> None:
    nowhere = f"127.0.0.1:1/{SECRET}"
    broken = settings.model_copy(
        update={"alert_webhook_url": f"http://{nowhere}", "alert_smtp_url": f"smtp://me:{SECRET}@127.0.0.1:1"}
    )
    for send in notifier.channels(broken).values():
        with pytest.raises(NotificationError) as error:
            send("1", run_failure("job", "run", "disk full", None))
        assert SECRET not in f"{error.value}{error.value!r}"


def test_slack_gets_its_shape(settings: Settings, receivers: tuple[Webhook, MailServer]) -> None:
    slack = Settings.model_validate(
        {
            "PROMPT_STATS_ALERT_WEBHOOK_URL": settings.alert_webhook_url,
            "PROMPT_STATS_ALERT_WEBHOOK_FORMAT": "slack",
        }
    )
    notifier.send_now(slack, run_failure("job", "run", "1 < 2", "backfill"))
    (posted,) = receivers[0].posted
    assert posted == {
        "text": "prompt-stats: job failed\nThe run run of backfill backfill of job failed: 1 &lt; 2\n"
        "Next: run prompt-stats doctor; the run's log is in Dagster at /runs/run",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


@pytest.mark.parametrize("form", ["json", "slack"])
def test_a_test_message_goes_to_every_receiver_and_is_not_kept(
    receivers: tuple[Webhook, MailServer], tmp_path: Path, form: str
) -> None:
    hook, mail = receivers
    given = {
        # No database is asked.
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "PROMPT_STATS_ALERT_WEBHOOK_URL": hook.url,
        "PROMPT_STATS_ALERT_WEBHOOK_FORMAT": form,
        "PROMPT_STATS_ALERT_EMAIL_TO": "operator@example.org",
        "PROMPT_STATS_ALERT_SMTP_URL": mail.url,
    }
    sent = prompt_stats(tmp_path, "alerts", "--test", **given)
    assert (sent.returncode, sent.stdout) == (0, "webhook: sent\nemail: sent\n")
    assert "Next: " in hook.posted[0]["text"]
    assert [letter["Subject"] for letter in mail.letters] == ["prompt-stats: test message"]

    hook.status = 404
    partly = prompt_stats(tmp_path, "alerts", "--test", **given)
    assert partly.returncode == 1
    assert partly.stdout.splitlines() == [
        "webhook: not sent: the webhook answered 404. Check PROMPT_STATS_ALERT_WEBHOOK_URL.",
        "email: sent",
    ]
    assert SECRET not in partly.stdout + partly.stderr


def test_without_a_receiver_there_is_nothing_to_test(tmp_path: Path) -> None:
    ended = prompt_stats(tmp_path, "alerts", "--test")
    assert ended.returncode == 1
    assert "no receiver is configured. Set PROMPT_STATS_ALERT_WEBHOOK_URL" in ended.stderr


def test_an_alert_recovers_when_the_events_are_fine_again(
    database: Database, settings: Settings, receivers: tuple[Webhook, MailServer], tmp_path: Path
) -> None:
    own = settings.model_copy(update={"lake_uri": str(tmp_path)})
    refresh(at(database, own.lake))
    evaluate(database, own)
    execute(
        database,
        f"UPDATE prompt_usage SET success = true WHERE prompt_id = '{FAILING}'"
        " AND created_at > now() - interval '1 day'",
    )
    refresh(at(database, own.lake))
    assert raised(evaluate(database, own)) == EXPECTED
    assert len(receivers[0].posted) == 1
    execute(database, "UPDATE stats_alerts SET fine_since = fine_since - interval '1 hour'")
    assert raised(evaluate(database, own)) == {each for each in EXPECTED if each[0] != "success_rate"}
    assert [alert["news"] for alert in receivers[0].posted[1]["alerts"]] == ["recovered"] * 2
    assert "2 recovered" in receivers[1].letters[1]["Subject"]
    over = [alert for alert in reading.alerts(database, 1)["alerts"] if alert["recovered_at"]]
    assert {(alert["prompt_id"], alert["scene"], alert["state"]) for alert in over} == {
        (str(FAILING), None, "OK"),
        (None, "cafe", "OK"),
    }


def test_events_that_did_not_arrive_yet_are_not_missed(database: Database, settings: Settings) -> None:
    assert raised(evaluate(database, settings)) == EXPECTED
    # As if the refresh had stopped four hours ago: before anything went wrong.
    execute(database, "UPDATE stats_refresh SET as_of = as_of - interval '4 hours'")
    execute(database, "DELETE FROM stats_alerts")
    done = evaluate(database, settings)
    assert raised(done) == {("freshness", "stats", None, None)}
    assert done.alerts[0]["state"] == "ALERT"
    assert done.alerts[0]["recent_value"] >= 4 * 3600


def test_before_the_first_publish_there_is_nothing_to_say(
    new_database: NewDatabase, migrated_template: str, settings: Settings
) -> None:
    with new_database(migrated_template) as database:
        assert evaluate(database, settings) == Evaluation(None)
        assert reading.alerts(database, 7)["evaluated_at"] is None


def test_a_silenced_alert_is_shown_and_not_told(
    database: Database, settings: Settings, receivers: tuple[Webhook, MailServer]
) -> None:
    quiet = settings.model_copy(update={"alert_webhook_url": None, "alert_email_to": ()})
    assert {alert["notified_at"] for alert in evaluate(database, quiet).alerts} == {None}
    for alert in rows(database, "SELECT id FROM stats_alerts"):
        silence(database, alert["id"], dt.timedelta(hours=1))
    assert raised(evaluate(database, settings)) == EXPECTED
    assert receivers[0].posted == []
    with pytest.raises(NotFoundError, match="no raised alert has this id"):
        silence(database, 0, dt.timedelta(hours=1))


def test_a_failed_run_is_told_once_and_without_a_database_too(
    database: Database, settings: Settings, receivers: tuple[Webhook, MailServer]
) -> None:
    @dg.op
    def fail() -> None:
        raise ValueError("the disk is full")

    @dg.job
    def nightly() -> None:
        fail()

    nowhere = Database("host=127.0.0.1 port=1 dbname=none connect_timeout=1")
    with dg.DagsterInstance.ephemeral() as instance:

        def failed(stores: Stores, tags: dict[str, str]) -> None:
            result = nightly.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
            context = dg.build_run_status_sensor_context(
                sensor_name="run_failures",
                dagster_event=next(e for e in result.all_events if e.event_type_value == "PIPELINE_FAILURE"),
                dagster_instance=instance,
                dagster_run=result.dagster_run,
                resources={"stores": stores},
            ).for_run_failure()
            run_failures(context)

        failed(Stores(settings, database), {})
        failed(Stores(settings, database), {})
        failed(Stores(settings, database), {"dagster/backfill": "abc"})
        failed(Stores(settings, nowhere), {"dagster/backfill": "def"})
        failed(Stores(settings, database), {"dagster/backfill": "ghi", "dagster/will_retry": "true"})
    told = [(message["title"], message["backfillId"]) for message in receivers[0].posted]
    assert told == [("prompt-stats: nightly failed", backfill) for backfill in (None, "abc", "def")]
    assert "the disk is full" in receivers[1].letters[0].get_content()
