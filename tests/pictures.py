"""Takes the pictures of the dashboard in ``docs/``, of what ``prompt-stats serve`` shows after the demo."""

from __future__ import annotations

import sys

from tests.browser import chromium, opened, windowed
from tests.command import REPOSITORY

ADDRESS = "http://127.0.0.1:8000/"
"""Where ``serve`` listens by default."""

WIDTH = 1120
PICTURES = {"overview": ("#/", 1010), "prompt": ("#/prompts/portrait-selfie-casual", 1160)}
"""By name: the view, and how much of it is shown."""


def main(names: list[str]) -> None:
    """Takes those named, or all."""
    with chromium() as browser, windowed(browser, ADDRESS) as window, opened(window) as tab:
        tab.page.emulate_media(reduced_motion="reduce")
        for name in names or PICTURES:
            view, height = PICTURES[name]
            tab.page.set_viewport_size({"width": WIDTH, "height": height})
            tab.go(f"{ADDRESS}{view}")
            tab.page.screenshot(path=REPOSITORY / "docs" / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
