"""``prompt_usage`` without our triggers switched off for a moment."""

from __future__ import annotations

from pipeline.adoption.triggers import TRIGGERS

OFF = "ALTER TABLE prompt_usage DISABLE TRIGGER USER"
ON = "; ".join(f"ALTER TABLE prompt_usage ENABLE ALWAYS TRIGGER {name}" for name in TRIGGERS)


def without_triggers(statement: str) -> str:
    """The statement between those that switch the triggers off and on."""
    return f"{OFF}; {statement}; {ON}"
