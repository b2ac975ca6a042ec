"""Sends messages to a webhook and by mail, and keeps those that could not be sent.

A message is first written to ``stats_alert_message``, once per channel, and is finished when its receiver has
acknowledged it. If this process dies in between, the message is sent again with the same id.
The webhook's address and the mail server's password are secrets, and never appear in errors or logs.
"""

from __future__ import annotations

import datetime as dt
import logging
import smtplib
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, insert, select, update

from pipeline.alerts.messages import Message
from pipeline.database.connections import Database
from pipeline.database.locks import Lock
from pipeline.database.tables import stats_alert_message as outbox
from pipeline.errors import NotificationError
from pipeline.settings import Settings, WebhookFormat

logger = logging.getLogger(__name__)

SECONDS = 10.0
"""How long a receiver may take."""

KEPT_FOR = dt.timedelta(days=7)
"""How long sending a message is retried."""

Channel = Callable[[str, Message], None]


@dataclass
class Delivery:
    """What happened to the messages: how many were sent, and why channels failed."""

    sent: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def channels(settings: Settings) -> dict[str, Channel]:
    """The configured channels by name. Each takes an id and a message, or raises NotificationError."""
    found: dict[str, Channel] = {}
    if settings.alert_webhook_url:
        found["webhook"] = lambda id_, message: post(settings, id_, message)
    if settings.alert_email_to:
        found["email"] = lambda id_, message: mail(settings, id_, message)
    return found


def notify(database: Database, settings: Settings, message: Message) -> Delivery:
    """Sends a message on every channel, after those that are still waiting."""
    with database.locked(Lock.ALERTS):
        with database.engine.begin() as connection:
            queue(connection, channels(settings), message)
        return deliver(database, settings)


def queue(connection: Connection, names: Mapping[str, Channel], message: Message) -> None:
    """Stores a message for each channel, to be sent after the transaction has committed."""
    now = dt.datetime.now(dt.UTC)
    for name in names:
        connection.execute(
            insert(outbox).values(
                id=uuid.uuid4(), channel=name, created_at=now, content=message, attempt_count=0
            )
        )


def deliver(database: Database, settings: Settings) -> Delivery:
    """Sends waiting messages, oldest first, and skips channels that fail for now. The caller holds the lock.

    Messages that failed before come last, so that a message that is never accepted delays no other.
    """
    result = Delivery()
    for name, send in channels(settings).items():
        since = dt.datetime.now(dt.UTC) - KEPT_FOR
        waiting = select(outbox).where(
            outbox.c.channel == name, outbox.c.sent_at.is_(None), outbox.c.created_at > since
        )
        with database.engine.connect() as connection:
            rows = connection.execute(waiting.order_by(outbox.c.attempt_count, outbox.c.created_at)).all()
        for row in rows:
            failure = None
            try:
                send(str(row.id), row.content)
                result.sent += 1
            except NotificationError as error:
                failure = str(error)
                logger.warning("%s", error)
                result.failures[name] = failure
            done = {"sent_at": None if failure else dt.datetime.now(dt.UTC), "failure": failure}
            with database.engine.begin() as connection:
                connection.execute(
                    update(outbox)
                    .where(outbox.c.id == row.id)
                    .values(attempt_count=outbox.c.attempt_count + 1, **done)
                )
            if failure:
                break
    return result


def send_now(settings: Settings, message: Message) -> None:
    """Sends a message without storing it, for use when the database is broken.

    :raises NotificationError: a channel did not take it; the others did.
    """
    errors = [error for error in send_to_each(settings, message).values() if error]
    if errors:
        raise errors[0]


def send_to_each(settings: Settings, message: Message) -> dict[str, NotificationError | None]:
    """Sends a message on every channel, and keeps it nowhere; returns why each did not take it, or None."""
    outcomes: dict[str, NotificationError | None] = {}
    for name, send in channels(settings).items():
        try:
            outcomes[name] = send(str(uuid.uuid4()), message)
        except NotificationError as error:
            outcomes[name] = error
    return outcomes


def post(settings: Settings, id_: str, message: Message) -> None:
    """Posts a message to the webhook. Any 2xx answer acknowledges it.

    :raises NotificationError: there was no answer, or another one.
    """
    import httpx

    # It logs the address of each request, and this one is a secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    is_json = settings.alert_webhook_format is WebhookFormat.JSON
    body = {"id": id_, **message} if is_json else for_slack(message)
    url = settings.alert_webhook_url or ""
    try:
        answer = httpx.post(url, json=body, headers={"Idempotency-Key": id_}, timeout=SECONDS)
        wrong = None if answer.is_success else f"the webhook answered {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        wrong = f"the webhook did not answer ({type(error).__name__})"
    if wrong:
        raise NotificationError(
            "Sending an alert to the webhook", wrong, "Check PROMPT_STATS_ALERT_WEBHOOK_URL"
        )


def for_slack(message: Message) -> Message:
    """A message as Slack's incoming webhooks take it, without markup: a prompt's name may look like some.

    Nor does Slack fetch what a name links to. https://docs.slack.dev/messaging/formatting-message-text
    """
    escaped = f"{message['title']}\n{message['text']}"
    for character, entity in {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.items():
        escaped = escaped.replace(character, entity)
    return {"text": escaped, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}


def mail(settings: Settings, id_: str, message: Message) -> None:
    """Sends a message by mail. A password goes over an encrypted connection or not at all.

    :raises NotificationError: the mail server can't be reached, or refuses it.
    """
    letter = EmailMessage()
    letter["Subject"] = " ".join(message["title"].split())
    letter["From"] = settings.alert_email_to[0]
    letter["To"] = ", ".join(settings.alert_email_to)
    letter["Message-ID"] = f"<{id_}@prompt-stats>"
    letter.set_content(message["text"])
    try:
        _send(settings.alert_smtp_url, letter)
    except smtplib.SMTPResponseException as error:
        wrong = f"the mail server answered {error.smtp_code}"
    except (smtplib.SMTPException, OSError, ValueError) as error:
        wrong = f"the mail server can't be used ({type(error).__name__})"
    else:
        return
    raise NotificationError(
        "Sending an alert by mail",
        wrong,
        "Check PROMPT_STATS_ALERT_SMTP_URL and PROMPT_STATS_ALERT_EMAIL_TO",
    )


def _send(url: str, letter: EmailMessage) -> None:
    server = urlsplit(url)
    context = ssl.create_default_context()
    host = server.hostname or ""
    connection: smtplib.SMTP
    if server.scheme == "smtps":
        connection = smtplib.SMTP_SSL(host, server.port or 465, timeout=SECONDS, context=context)
    else:
        connection = smtplib.SMTP(host, server.port or 25, timeout=SECONDS)
    with connection:
        connection.ehlo()
        if server.scheme == "smtp" and (server.password or connection.has_extn("starttls")):
            connection.starttls(context=context)
        if server.username and server.password:
            connection.login(unquote(server.username), unquote(server.password))
        connection.send_message(letter)
