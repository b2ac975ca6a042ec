"""The environment: which variable is which setting, and how a bad value is answered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import Settings, WebhookFormat, settings


@pytest.fixture(autouse=True)
def unset_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of ours is set, and nothing read here stays for other tests."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_without_variables_everything_is_below_one_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    read = settings()

    assert read.database_url is None
    assert read.home == tmp_path / ".prompt-stats"
    assert read.lake == str(tmp_path / ".prompt-stats" / "lake")
    assert read.dagster_home == tmp_path / ".prompt-stats" / "dagster"
    assert read.start_date == dt.date(2025, 1, 1)


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@db.example/app")
    monkeypatch.setenv("PROMPT_STATS_HOME", str(tmp_path))
    monkeypatch.setenv("PROMPT_STATS_LAKE_URI", "s3://bucket/lake")
    monkeypatch.setenv("PROMPT_STATS_START_DATE", "2024-06-01")

    read = settings()

    assert read.database_url == "postgresql://app@db.example/app"
    assert read.home == tmp_path
    assert read.lake == "s3://bucket/lake"
    assert read.start_date == dt.date(2024, 6, 1)


def test_the_home_is_absolute_wherever_the_process_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPT_STATS_HOME", "here")
    assert settings().home == tmp_path / "here"

    settings.cache_clear()
    monkeypatch.setenv("PROMPT_STATS_HOME", "~/there")
    assert settings().home == Path.home() / "there"


def test_write_back_is_on_unless_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().write_back
    for value, expected in (("off", False), ("on", True)):
        settings.cache_clear()
        monkeypatch.setenv("PROMPT_STATS_WRITE_BACK", value)
        assert settings().write_back is expected
    settings.cache_clear()
    monkeypatch.setenv("PROMPT_STATS_WRITE_BACK", "compare")
    with pytest.raises(SettingsError, match=r"PROMPT_STATS_WRITE_BACK is 'compare', but .* on or off"):
        settings()


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("PROMPT_STATS_START_DATE", "")

    assert settings().database_url is None
    assert settings().start_date == dt.date(2025, 1, 1)


def test_a_bad_value_is_answered_with_its_name_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPT_STATS_START_DATE", "the day before yesterday")

    with pytest.raises(SettingsError, match="PROMPT_STATS_START_DATE is 'the day before yesterday', but "):
        settings()


def test_a_first_day_that_is_to_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    today = dt.datetime.now(dt.UTC).date()
    monkeypatch.setenv("PROMPT_STATS_START_DATE", str(today))
    assert settings().start_date == today

    settings.cache_clear()
    monkeypatch.setenv("PROMPT_STATS_START_DATE", str(today + dt.timedelta(days=2)))
    with pytest.raises(SettingsError, match="it is in the future"):
        settings()


def test_the_address_is_in_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db.example/app")

    assert "hunter2" not in repr(settings())
    assert "hunter2" not in str(settings())


@pytest.mark.parametrize(
    ("tokens", "what"),
    [
        ("read:,write:sesame", "everybody in"),
        ("write:", "everybody in"),
        ("sesame,reed:sesame", "read: or write:"),
    ],
)
def test_a_token_without_a_secret_or_with_another_scope_is_refused(
    monkeypatch: pytest.MonkeyPatch, tokens: str, what: str
) -> None:
    monkeypatch.setenv("PROMPT_STATS_API_TOKEN", tokens)
    with pytest.raises(SettingsError, match=what) as refused:
        settings()
    assert "PROMPT_STATS_API_TOKEN" in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_alerts_go_nowhere_unless_it_is_said_where(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (settings().alert_webhook_url, settings().alert_email_to) == (None, ())
    settings.cache_clear()
    monkeypatch.setenv("PROMPT_STATS_ALERT_WEBHOOK_URL", "https://hooks.example/secret")
    monkeypatch.setenv("PROMPT_STATS_ALERT_WEBHOOK_FORMAT", "slack")
    monkeypatch.setenv("PROMPT_STATS_ALERT_EMAIL_TO", "a@example.org, b@example.org")
    monkeypatch.setenv("PROMPT_STATS_ALERT_SMTP_URL", "smtps://me:secret@mail.example")
    read = settings()
    assert read.alert_webhook_url == "https://hooks.example/secret"
    assert read.alert_webhook_format is WebhookFormat.SLACK
    assert read.alert_email_to == ("a@example.org", "b@example.org")
    assert "secret" not in repr(read)


@pytest.mark.parametrize("variable", ["PROMPT_STATS_ALERT_WEBHOOK_URL", "PROMPT_STATS_ALERT_SMTP_URL"])
def test_a_secret_that_can_not_be_used_is_not_repeated(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "me:secret@mail.example")
    with pytest.raises(SettingsError, match=f"{variable} is set, but") as error:
        settings()
    assert "secret" not in str(error.value)


def test_hosts_of_the_ui_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().ui_hosts == ()
    settings.cache_clear()
    monkeypatch.setenv("PROMPT_STATS_UI_HOSTS", "Dagster.Example.com, 192.0.2.7 [2001:db8::7]")
    assert settings().ui_hosts == ("dagster.example.com", "192.0.2.7", "2001:db8::7")


@pytest.mark.parametrize(
    "value", ["*", "*.example.com", "https://example.com", "example.com:443", "a/b", "[]"]
)
def test_a_host_of_the_ui_is_nothing_but_a_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PROMPT_STATS_UI_HOSTS", value)
    with pytest.raises(SettingsError, match=r"PROMPT_STATS_UI_HOSTS .*without scheme, port or wildcard"):
        settings()
