"""``python -m pipeline`` is ``prompt-stats``."""

from __future__ import annotations

import sys


def run() -> None:
    """The entry point of the command ``prompt-stats``, which an app that has the tracker alone has too."""
    try:
        from pipeline.cli import main
    except ModuleNotFoundError as error:
        if str(error.name).startswith("pipeline"):
            raise
        sys.exit(
            f"Starting prompt-stats failed: {error.name} is not installed. This is the tracker alone; install"
            " the command with: pip install 'prompt-stats[pipeline]'"
        )
    main.run()


if __name__ == "__main__":
    run()
