"""Writes the log as JSON to standard error, one object per line, for programs that collect it."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog import stdlib
from structlog.typing import EventDict

from pipeline.redaction import redacted

RUN = "dagster_meta"
"""The attribute that Dagster adds to each record of a run."""
EVENT = ("dagster_event", "dagster_event_batch_metadata")
"""Besides, where the record is an event of Dagster's own: of a step, say."""
FIGURES_OF_RUN = ("run_id", "job_name", "step_key")


def json_formatter() -> logging.Formatter:
    """Writes each record as a line with ``at`` (UTC), ``level``, ``logger``, ``message``, and its ``extra``.

    An error also has ``exception``, and a record of a Dagster run ``run_id``, ``job_name`` and ``step_key``.
    """
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=[stdlib.add_log_level, stdlib.add_logger_name, stdlib.ExtraAdder()],
        processors=[
            stdlib.ProcessorFormatter.remove_processors_meta,
            _name_run,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            _redact,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


def write_json() -> None:
    """Makes all loggers of this process and its libraries write JSON from level INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    # Where Dagster is told to, it writes the records of its runs itself: deploy/dagster.yaml.
    handler.addFilter(lambda record: not hasattr(record, RUN))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _redact(_logger: object, _method: str, line: EventDict) -> EventDict:
    return {name: redacted(value) if isinstance(value, str) else value for name, value in line.items()}


def _name_run(_logger: object, _method: str, line: EventDict) -> EventDict:
    run = line.pop(RUN, None)
    if run:
        line.update({name: run[name] for name in FIGURES_OF_RUN if run[name]})
        line["event"] = run["orig_message"]
    for name in EVENT:
        # Its text is the message, its figures are in Dagster; what went wrong is in neither.
        error = getattr(getattr(line.pop(name, None), "event_specific_data", None), "error", None)
        if error:
            line["exception"] = error.to_string()
    return line
