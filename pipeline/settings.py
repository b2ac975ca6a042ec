"""The environment, read once.

This is the only module that reads environment variables, apart from :mod:`pipeline.environment` with the few
that a tracker needs. All other modules take a :class:`Settings`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.environment import DEFAULT_HOME, absolute
from pipeline.errors import SettingsError
from pipeline.names import DEFAULT_NAMES, TableNames
from pipeline.redaction import redacted


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True)
class ApiToken:
    """A secret for the HTTP API, and what it allows."""

    secret: str = field(repr=False)
    scopes: frozenset[Scope] = frozenset(Scope)

    @classmethod
    def parse(cls, text: str) -> ApiToken:
        """Parses ``read:secret``, ``write:secret``, or only a secret, which allows both.

        :raises ValueError: there is no secret, or another word before the colon.
        """
        scope, colon, secret = text.rpartition(":")
        if not secret:
            raise ValueError("a token without a secret would let everybody in")
        if colon and scope not in [*Scope]:
            raise ValueError(
                f"the word before the colon of a token has to be {' or '.join(f'{each}:' for each in Scope)}"
            )
        return cls(secret, frozenset({Scope(scope)}) if colon else frozenset(Scope))


class LogFormat(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


class WebhookFormat(StrEnum):
    """The format of messages to the webhook: all figures as JSON, or the text for Slack."""

    JSON = "json"
    SLACK = "slack"


class EngineName(StrEnum):
    """Which engine runs the rollups."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class DroppedPartitions(StrEnum):
    """What happens to the numbers when a partition of raw events is dropped or detached."""

    KEEP = "keep"
    COUNT_DOWN = "count-down"


class Settings(BaseSettings):
    """The settings of the environment, frozen. ``docs/configuration.md`` is made from the descriptions."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        repr=False,
        description=(
            "The database: a URL of libpq, SQLAlchemy or [another "
            "tool](adoption.md#addresses-of-other-tools), or a connection string of libpq. "
            "Unset: the embedded server is used."
        ),
    )
    read_url: str | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_READ_URL",
        repr=False,
        description=(
            "A streaming [replica](adoption.md#from-a-replica) of the database. Raw events are "
            "read from it. Unset: they are read from the database."
        ),
    )
    tables: Annotated[TableNames, NoDecode] = Field(
        default=DEFAULT_NAMES,
        validation_alias="PROMPT_STATS_TABLES",
        description=(
            "The names that your app gives its tables and columns, if [they "
            "differ](adoption.md#other-names) from ours. Unset: they are the same."
        ),
    )
    home: Path = Field(
        default=Path(DEFAULT_HOME),
        validation_alias="PROMPT_STATS_HOME",
        description="The folder of the embedded server, the lake and Dagster's home.",
    )
    lake_uri: str | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_LAKE_URI",
        description=(
            "Where the lake is: a folder, or an address such as `s3://bucket/lake` without "
            "credentials. Give those in variables such as `AWS_ACCESS_KEY_ID`: see [in a "
            "bucket](deployment.md#in-a-bucket). Unset: `lake` in the home."
        ),
    )
    start_date: dt.date = Field(
        default=dt.date(2025, 1, 1),
        validation_alias="PROMPT_STATS_START_DATE",
        description=(
            "The first day that is counted. Earlier and undated events belong to it. The database "
            "remembers it and refuses [another one](operations.md#a-setting-is-refused)."
        ),
    )
    # Before engine, whose validator looks at it.
    spark_remote: str | None = Field(
        default=None,
        validation_alias="SPARK_REMOTE",
        repr=False,
        description=(
            "Spark's own variable: the address of its Connect server, `sc://host:15002`, with "
            "a token and other parameters that Spark knows. It is read only if the engine is "
            "`spark`."
        ),
    )
    engine: EngineName = Field(
        default=EngineName.DUCKDB,
        validation_alias="PROMPT_STATS_ENGINE",
        description=(
            "Where the rollups are computed: `duckdb` in the process, or `spark` on [a "
            "cluster](deployment.md#rollups-on-spark)."
        ),
    )
    write_back: bool = Field(
        default=True,
        validation_alias="PROMPT_STATS_WRITE_BACK",
        description=(
            "`off` leaves the counters in `prompts` alone, so that you can [compare first](adoption.md)."
        ),
    )
    retain_days: PositiveInt | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_RETAIN_DAYS",
        description=(
            "How many days of raw events stay in Postgres. The nightly "
            "[job](architecture.md#retention) removes older ones. Unset: all of them stay."
        ),
    )
    days_per_run: PositiveInt | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_DAYS_PER_RUN",
        description=(
            "How many days one run of a [backfill](operations.md#a-backfill-failed) from Dagster's "
            "UI takes. Unset: one run takes all of them."
        ),
    )
    dropped_partitions: DroppedPartitions = Field(
        default=DroppedPartitions.KEEP,
        validation_alias="PROMPT_STATS_DROPPED_PARTITIONS",
        description=(
            "`count-down` lowers the numbers when a [partition](adoption.md#partitions) of "
            "raw events is dropped or detached; `keep` keeps them."
        ),
    )
    journal_dir: Path | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_JOURNAL_DIR",
        description=(
            "The folder in which trackers keep events while the database can't take them. Unset: they are "
            "kept in memory."
        ),
    )
    api_tokens: Annotated[tuple[ApiToken, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_API_TOKEN",
        repr=False,
        description=(
            "Secrets, separated by commas, that let clients use the [HTTP "
            "API](api.md#who-may-use-it). `read:…` or `write:…` allows only that. Unset: only "
            "this machine may use it."
        ),
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_UI_HOSTS",
        description=(
            "Host names, separated by commas, under which Dagster's UI answers besides `localhost`, "
            "such as that of a [reverse proxy with a login](deployment.md#a-login-for-dagster). "
            "Unset: only those of this machine."
        ),
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT,
        validation_alias="PROMPT_STATS_LOG_FORMAT",
        description="`json` writes the log, including Dagster's, as one JSON object per line.",
    )

    alert_webhook_url: str | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_ALERT_WEBHOOK_URL",
        pattern=r"^https?://[^/]",
        repr=False,
        description="The URL that [alerts](alerts.md) are posted to. Unset: they are not posted.",
    )
    alert_webhook_format: WebhookFormat = Field(
        default=WebhookFormat.JSON,
        validation_alias="PROMPT_STATS_ALERT_WEBHOOK_FORMAT",
        description="The format of posted alerts: `json`, or `slack` for an incoming webhook of Slack.",
    )
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_ALERT_EMAIL_TO",
        description=(
            "Addresses, separated by commas, that get alerts by mail. The first is also the sender. Unset: "
            "no mail is sent."
        ),
    )
    alert_smtp_url: str = Field(
        default="smtp://localhost:25",
        validation_alias="PROMPT_STATS_ALERT_SMTP_URL",
        pattern=r"^smtps?://[^/]",
        repr=False,
        description="The mail server: `smtp://user:password@host:587`, or `smtps://…`.",
    )

    @field_validator("home", "journal_dir")
    @classmethod
    def _absolute(cls, folder: Path | None) -> Path | None:
        return folder and absolute(folder)

    @field_validator("start_date")
    @classmethod
    def _begun(cls, given: dt.date) -> dt.date:
        if given > dt.datetime.now(dt.UTC).date():
            raise ValueError("it is in the future, and nothing would be counted until then")
        return given

    @field_validator("lake_uri")
    @classmethod
    def _without_credentials(cls, given: str | None) -> str | None:
        if given and redacted(given) != given:
            raise ValueError(
                "it contains credentials, which engines ignore there and show in their messages; give them in"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in the variables of your object store"
            )
        return given

    @field_validator("engine")
    @classmethod
    def _has_server(cls, given: EngineName, info: ValidationInfo) -> EngineName:
        remote = info.data["spark_remote"] or ""
        if given is EngineName.SPARK and not re.match(r"sc://[^/:;@]", remote):
            raise ValueError("SPARK_REMOTE names no server, such as sc://host:15002")
        return given

    @field_validator("write_back", mode="before")
    @classmethod
    def _switch(cls, given: object) -> object:
        if isinstance(given, str) and given not in ("on", "off"):
            raise ValueError("it has to be on or off")
        return given

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _tokens(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return tuple(ApiToken.parse(text) for text in given.replace(",", " ").split())

    @field_validator("ui_hosts", mode="before")
    @classmethod
    def _hosts(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return tuple(_host(text) for text in given.replace(",", " ").split())

    @field_validator("tables", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return TableNames.parse(given) if isinstance(given, str) else given

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


def _host(text: str) -> str:
    """A host's name or address, in the form in which hosts are compared.

    :raises ValueError: it is something else, such as a URL, a port or a pattern.
    """
    bare = text.lower().removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]*::?[0-9a-f:.]*", bare) or bare.count(":") == 1:
        raise ValueError("each entry has to be a host's name, without scheme, port or wildcard")
    return bare


@cache
def settings() -> Settings:
    """The settings of this process.

    :raises SettingsError: a variable has a value that can't be used; the text names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise next(iter(_faults(error).values())) from None


PREFIX = "PROMPT_STATS_"
FIELDS = {str(field.validation_alias): field for field in Settings.model_fields.values()}


@dataclass(frozen=True)
class Variable:
    """A variable that is set.

    ``value``: what may be shown of it; None for secrets and unknown variables. ``fault``: why it can't be
    used. ``is_known``: whether it is one of ours, or only has the prefix. ``alike``: our variable with the
    most similar name, if any is similar.
    """

    name: str
    value: str | None = None
    fault: SettingsError | None = None
    is_known: bool = True
    alike: str | None = None


def variables() -> list[Variable]:
    """The variables that are set and are ours or have our prefix."""
    try:
        Settings()
        faults = {}
    except ValidationError as error:
        faults = _faults(error)
    # As pydantic reads them: in any case, and an empty one counts as unset.
    given = {name: value for name, value in sorted(os.environ.items()) if value}
    known = [name for name in given if name.upper() in FIELDS]
    unknown = [name for name in given if name.upper().startswith(PREFIX) and name not in known]
    return [
        *(
            Variable(
                name,
                redacted(given[name]) if FIELDS[name.upper()].repr else None,
                faults.get(name.upper()),
            )
            for name in known
        ),
        *(Variable(name, is_known=False, alike=_alike(name)) for name in unknown),
    ]


def _alike(name: str) -> str | None:
    # The prefix is common to all, so it does not show which one is meant.
    known = {each.removeprefix(PREFIX): each for each in FIELDS}
    found = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
    return known[found[0]] if found else None


def _faults(error: ValidationError) -> dict[str, SettingsError]:
    """What is wrong with which variable."""
    faults = {}
    for each in error.errors():
        name = str(each["loc"][0])
        shown = repr(each["input"])
        # If there is a secret in it, it is not certain where that ends.
        value = shown if FIELDS[name].repr and redacted(shown) == shown else "set"
        faults[name] = SettingsError(
            "Reading the environment",
            f"{name} is {value}, but {each['msg'].lower()}",
            f"Set {name} to a valid value or unset it",
        )
    return faults
