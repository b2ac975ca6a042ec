"""``python -m pipeline`` is ``prompt-stats``."""

from pipeline.cli.main import run

run()
