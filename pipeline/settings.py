"""The environment, read once.

The only module that reads environment variables, but for the few that a tracker reads, in
:mod:`pipeline.environment`. Everything else is handed a :class:`Settings`.
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


class EngineName(StrEnum):
    """Which engine runs the rollups."""

    DUCKDB = "duckdb"
    SPARK = "spark"


class DroppedPartitions(StrEnum):
    """What becomes of the numbers when a partition of raw events is dropped or detached."""

    KEEP = "keep"
    COUNT_DOWN = "count-down"


class Settings(BaseSettings):
    """What the environment says. Frozen. ``docs/configuration.md`` is made from the descriptions."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        repr=False,
        description=(
            "The database: a URL as libpq, SQLAlchemy or [another "
            "tool](adoption.md#addresses-of-other-tools) knows it, or a libpq connection "
            "string. Unset: the embedded server."
        ),
    )
    read_url: str | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_READ_URL",
        repr=False,
        description=(
            "A streaming [replica](adoption.md#from-a-replica) of it, from which raw events "
            "are read. Unset: they are read from the database."
        ),
    )
    tables: Annotated[TableNames, NoDecode] = Field(
        default=DEFAULT_NAMES,
        validation_alias="PROMPT_STATS_TABLES",
        description=(
            "What your app calls its tables and columns: [other "
            "names](adoption.md#other-names). Unset: the names are ours."
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
            "Where the lake is: a folder, or an address such as `s3://bucket/lake`, without "
            "credentials. Those go into `AWS_ACCESS_KEY_ID` and its like: [in a "
            "bucket](deployment.md#in-a-bucket). Unset: `lake` in the home."
        ),
    )
    start_date: dt.date = Field(
        default=dt.date(2025, 1, 1),
        validation_alias="PROMPT_STATS_START_DATE",
        description=(
            "The first day. Earlier and undated events belong to it. The database remembers "
            "it and refuses [another one](operations.md#a-setting-is-refused)."
        ),
    )
    # Before engine, whose validator looks at it.
    spark_remote: str | None = Field(
        default=None,
        validation_alias="SPARK_REMOTE",
        repr=False,
        description=(
            "Spark's own variable: the address of its Connect server, `sc://host:15002`, with "
            "a token and other parameters as Spark has them. Read where the engine is "
            "`spark`."
        ),
    )
    engine: EngineName = Field(
        default=EngineName.DUCKDB,
        validation_alias="PROMPT_STATS_ENGINE",
        description=(
            "Where the rollups are computed: `duckdb`, in the process, or `spark`, on [a "
            "cluster](deployment.md#rollups-on-spark)."
        ),
    )
    write_back: bool = Field(
        default=True,
        validation_alias="PROMPT_STATS_WRITE_BACK",
        description="`off` leaves the counters in `prompts` alone, to [look first](adoption.md).",
    )
    retain_days: PositiveInt | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_RETAIN_DAYS",
        description=(
            "Days of raw events that stay in Postgres; the nightly "
            "[job](architecture.md#retention) removes older ones. Unset: all stay."
        ),
    )
    days_per_run: PositiveInt | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_DAYS_PER_RUN",
        description=(
            "Days per run of a [backfill](operations.md#a-backfill-failed) from Dagster's UI. "
            "Unset: all in one run."
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
            "The folder in which trackers keep events that wait for the database. Unset: they wait in memory."
        ),
    )
    api_tokens: Annotated[tuple[ApiToken, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_API_TOKEN",
        repr=False,
        description=(
            "Who may use the [HTTP API](api.md#who-may-use-it): secrets, separated by commas; "
            "`read:…` or `write:…` allows only that. Unset: this machine alone."
        ),
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_UI_HOSTS",
        description=(
            "Names by which Dagster's UI is opened besides `localhost`, separated by commas: "
            "of a [reverse proxy with a login](deployment.md#a-login-for-dagster). Unset: "
            "this machine's."
        ),
    )
    log_format: LogFormat = Field(
        default=LogFormat.TEXT,
        validation_alias="PROMPT_STATS_LOG_FORMAT",
        description="`json` writes the log, Dagster's too, as one JSON object per line.",
    )

    alert_webhook_url: str | None = Field(
        default=None,
        validation_alias="PROMPT_STATS_ALERT_WEBHOOK_URL",
        pattern=r"^https?://[^/]",
        repr=False,
        description="Where [alerts](alerts.md) are posted to. Unset: nowhere.",
    )
    alert_webhook_format: WebhookFormat = Field(
        default=WebhookFormat.JSON,
        validation_alias="PROMPT_STATS_ALERT_WEBHOOK_FORMAT",
        description="How: `json`, or `slack` for an incoming webhook of Slack.",
    )
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="PROMPT_STATS_ALERT_EMAIL_TO",
        description=(
            "Who gets alerts by mail, separated by commas; the first is also the sender. Unset: nobody."
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
            raise ValueError("it is still to come, and nothing would be counted until then")
        return given

    @field_validator("lake_uri")
    @classmethod
    def _without_credentials(cls, given: str | None) -> str | None:
        if given and redacted(given) != given:
            raise ValueError(
                "it holds credentials, which engines ignore there and show in their messages; give them as"
                " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as the variables of your object store"
            )
        return given

    @field_validator("engine")
    @classmethod
    def _has_server(cls, given: EngineName, info: ValidationInfo) -> EngineName:
        remote = info.data["spark_remote"] or ""
        if given is EngineName.SPARK and not re.match(r"sc://[^/:;@]", remote):
            raise ValueError("SPARK_REMOTE does not name its server, as sc://host:15002 does")
        return given

    @field_validator("write_back", mode="before")
    @classmethod
    def _switch(cls, given: object) -> object:
        if isinstance(given, str) and given not in ("on", "off"):
            raise ValueError("it may be on or off")
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
    """A name or address of a host, in the form that it is compared in.

    :raises ValueError: it is more than that, or less: a URL, a port, a pattern.
    """
    bare = text.lower().removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]*::?[0-9a-f:.]*", bare) or bare.count(":") == 1:
        raise ValueError("each has to be the name of a host, without scheme, port and wildcard")
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
    """A variable that is set. ``value``: what may be shown of it, None of a secret and of what nobody reads.

    ``fault``: why it can't be used. ``is_known``: whether it is one of ours, and not only called as if;
    ``alike``: the one of ours whose name is nearest, if any is near.
    """

    name: str
    value: str | None = None
    fault: SettingsError | None = None
    is_known: bool = True
    alike: str | None = None


def variables() -> list[Variable]:
    """The variables that are set and ours, or called as if they were; none is used that has a fault."""
    try:
        Settings()
        faults = {}
    except ValidationError as error:
        faults = _faults(error)
    # As pydantic reads them: whatever the case, and an empty one as if it were not set.
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
    # What all have in common says nothing about which is meant.
    known = {each.removeprefix(PREFIX): each for each in FIELDS}
    found = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
    return known[found[0]] if found else None


def _faults(error: ValidationError) -> dict[str, SettingsError]:
    """What is wrong with which variable."""
    faults = {}
    for each in error.errors():
        name = str(each["loc"][0])
        shown = repr(each["input"])
        # Where there is a secret, nobody knows for sure where it ends.
        value = shown if FIELDS[name].repr and redacted(shown) == shown else "set"
        faults[name] = SettingsError(
            "Reading the environment",
            f"{name} is {value}, but {each['msg'].lower()}",
            f"Set {name} to a valid value or unset it",
        )
    return faults
