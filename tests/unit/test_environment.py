"""What a tracker reads of the environment is what everything else reads of it."""

from __future__ import annotations

import pytest

from pipeline.environment import environment
from pipeline.errors import SettingsError
from pipeline.settings import Settings, settings

ENVIRONMENTS = [
    {},
    {"DATABASE_URL": "postgresql://app@db/app"},
    {"database_url": "postgresql://app@db/app", "Prompt_Stats_Home": "elsewhere"},
    {"DATABASE_URL": "", "PROMPT_STATS_TABLES": "", "PROMPT_STATS_HOME": "", "PROMPT_STATS_JOURNAL_DIR": ""},
    {"PROMPT_STATS_TABLES": "schema=app,prompts=templates", "PROMPT_STATS_JOURNAL_DIR": "~/journal"},
    {"PROMPT_STATS_HOME": "/var/lib/prompt-stats", "PROMPT_STATS_JOURNAL_DIR": "journal"},
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PROMPT_STATS_HOME", "PROMPT_STATS_TABLES", "PROMPT_STATS_JOURNAL_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variables", ENVIRONMENTS, ids=str)
def test_a_tracker_reads_what_the_settings_read(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    found, wanted = environment(), Settings()

    assert found.database_url == wanted.database_url
    assert found.tables == wanted.tables
    assert found.home == wanted.home
    assert found.journal_dir == wanted.journal_dir


def test_a_fault_is_told_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPT_STATS_TABLES", "templates")
    settings.cache_clear()

    with pytest.raises(SettingsError) as of_tracker:
        environment()
    with pytest.raises(SettingsError) as of_settings:
        settings()

    assert of_tracker.value.remedy == of_settings.value.remedy
    assert "PROMPT_STATS_TABLES is 'templates'" in str(of_tracker.value)
