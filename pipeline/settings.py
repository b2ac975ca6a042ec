"""The environment, read once.

The only module that reads environment variables. Everything else is handed a :class:`Settings`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.errors import SettingsError


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True)
class ApiToken:
    """A secret of the HTTP API, and what it allows."""

    secret: str = field(repr=False)
    scopes: frozenset[Scope] = frozenset(Scope)

    @classmethod
    def parse(cls, text: str) -> ApiToken:
        """From ``read:secret``, ``write:secret``, or a secret alone, which allows both.

        :raises ValueError: there is no secret, or another word before the colon.
        """
        scope, colon, secret = text.rpartition(":")
        if not secret:
            raise ValueError("a token without a secret would let everybody in")
        if colon and scope not in [*Scope]:
            raise ValueError(
                f"a token may begin with {' or '.join(f'{each}:' for each in Scope)} and no other word"
            )
        return cls(secret, frozenset({Scope(scope)}) if colon else frozenset(Scope))


class LogFormat(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


class WebhookFormat(StrEnum):
    """How a message to the webhook looks: all of it as JSON, or its text as Slack takes it."""

    JSON = "json"
    SLACK = "slack"


class Settings(BaseSettings):
    """What the environment says. Frozen.

    ``database_url``
        ``DATABASE_URL``: any libpq or SQLAlchemy form; None means the embedded server.
    ``read_url``
        ``PROMPT_STATS_READ_URL``: a streaming replica of it, from which raw events are read; None means that
        they are read from the database itself.
    ``home``
        ``PROMPT_STATS_HOME``: embedded database, lake and Dagster home. Absolute.
    ``lake_uri``
        ``PROMPT_STATS_LAKE_URI``: where the lake's tables are; a folder or ``s3://…``.
    ``start_date``
        ``PROMPT_STATS_START_DATE``: the first partition's day. Events dated earlier, and undated ones,
        belong to it. Changing it later moves such events, so choose it once.
    ``retain_days``
        ``PROMPT_STATS_RETAIN_DAYS``: days of raw events that stay in Postgres; None keeps all for ever.
    ``journal_dir``
        ``PROMPT_STATS_JOURNAL_DIR``: where trackers keep events that wait for the database. Absolute;
        None keeps them in memory.
    ``api_tokens``
        ``PROMPT_STATS_API_TOKEN``: who may use the HTTP API, separated by commas or blanks; each as
        :meth:`ApiToken.parse` reads it. None: this machine alone.
    ``log_format``
        ``PROMPT_STATS_LOG_FORMAT``: ``json`` writes the log as one object a line, for programs.
    ``alert_webhook_url``
        ``PROMPT_STATS_ALERT_WEBHOOK_URL``: where alerts are posted to; a secret. None: nowhere.
    ``alert_webhook_format``
        ``PROMPT_STATS_ALERT_WEBHOOK_FORMAT``: ``json`` or ``slack``.
    ``alert_email_to``
        ``PROMPT_STATS_ALERT_EMAIL_TO``: who gets alerts by mail, separated by commas or blanks. The first is
        also the sender.
    ``alert_smtp_url``
        ``PROMPT_STATS_ALERT_SMTP_URL``: the mail server, ``smtp://user:password@host:587`` or ``smtps://…``.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL", repr=False)
    read_url: str | None = Field(default=None, validation_alias="PROMPT_STATS_READ_URL", repr=False)
    home: Path = Field(default=Path(".prompt-stats"), validation_alias="PROMPT_STATS_HOME")
    lake_uri: str | None = Field(default=None, validation_alias="PROMPT_STATS_LAKE_URI")
    start_date: dt.date = Field(default=dt.date(2025, 1, 1), validation_alias="PROMPT_STATS_START_DATE")
    retain_days: PositiveInt | None = Field(default=None, validation_alias="PROMPT_STATS_RETAIN_DAYS")
    journal_dir: Path | None = Field(default=None, validation_alias="PROMPT_STATS_JOURNAL_DIR")
    api_tokens: Annotated[tuple[ApiToken, ...], NoDecode] = Field(
        default=(), validation_alias="PROMPT_STATS_API_TOKEN", repr=False
    )
    log_format: LogFormat = Field(default=LogFormat.TEXT, validation_alias="PROMPT_STATS_LOG_FORMAT")

    alert_webhook_url: str | None = Field(
        default=None, validation_alias="PROMPT_STATS_ALERT_WEBHOOK_URL", pattern=r"^https?://[^/]", repr=False
    )
    alert_webhook_format: WebhookFormat = Field(
        default=WebhookFormat.JSON, validation_alias="PROMPT_STATS_ALERT_WEBHOOK_FORMAT"
    )
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias="PROMPT_STATS_ALERT_EMAIL_TO"
    )
    alert_smtp_url: str = Field(
        default="smtp://localhost:25",
        validation_alias="PROMPT_STATS_ALERT_SMTP_URL",
        pattern=r"^smtps?://[^/]",
        repr=False,
    )

    @field_validator("home", "journal_dir")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        return folder and folder.expanduser().absolute()

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _tokens(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return tuple(ApiToken.parse(text) for text in given.replace(",", " ").split())

    @field_validator("alert_email_to", mode="before")
    @classmethod
    def _addresses(cls, given: object) -> object:
        return tuple(given.replace(",", " ").split()) if isinstance(given, str) else given

    @property
    def lake(self) -> str:
        """The lake's root: ``lake_uri``, or the folder ``lake`` of the home."""
        return self.lake_uri or str(self.home / "lake")

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps its runs and events."""
        return self.home / "dagster"


@cache
def settings() -> Settings:
    """The settings of this process.

    :raises SettingsError: a variable has a value that can't be used; the text names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        is_secret = any(
            field.validation_alias == name and not field.repr for field in Settings.model_fields.values()
        )
        value = "set" if is_secret else repr(first["input"])
        raise SettingsError(
            "Reading the environment",
            f"{name} is {value}, but {first['msg'].lower()}",
            f"Set {name} to a valid value or unset it",
        ) from None
