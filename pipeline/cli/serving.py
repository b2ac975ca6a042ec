"""``serve``: the dashboard and the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.context import messages, open_current_database
from pipeline.errors import InputError
from pipeline.settings import LogFormat, settings


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port. 0 takes a free one.")] = 8000,
) -> None:
    """Serve the dashboard and the HTTP API, without PROMPT_STATS_API_TOKEN only to this machine."""
    # The web libraries take a while to import, and the other commands need none of them.
    from uvicorn.config import LOGGING_CONFIG

    from pipeline.web.api import build_app, server
    from pipeline.web.api.access import LOOPBACK
    from pipeline.web.dashboard.routes import add_dashboard

    if not settings().api_tokens:
        if host not in LOOPBACK:
            raise InputError(
                f"Serving at {host}",
                "no token is set, so everybody who can reach this address could read and write",
                "Set PROMPT_STATS_API_TOKEN, or leave out --host to serve only this machine",
            )
        messages.print("PROMPT_STATS_API_TOKEN is not set, so only this machine is served.")
    app = build_app(settings(), open_current_database())
    add_dashboard(app)
    plain = settings().log_format is LogFormat.TEXT
    server.run(app, host=host, port=port, log_config=LOGGING_CONFIG if plain else None)
