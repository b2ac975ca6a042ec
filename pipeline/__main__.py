"""``python -m pipeline`` is ``prompt-stats``."""

from __future__ import annotations

import sys


def run() -> None:
    """The entry point of the command ``prompt-stats``. It exists even if only the tracker is installed."""
    try:
        from pipeline.cli import main
    except ModuleNotFoundError as error:
        if str(error.name).startswith("pipeline"):
            raise
        sys.exit(
            f"Starting prompt-stats failed: {error.name} is not installed. Only the tracker is installed. To"
            " install the command: pip install 'prompt-stats[pipeline]'"
        )
    main.run()


if __name__ == "__main__":
    run()
