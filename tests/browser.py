"""A real browser: Chromium without a window, and pages that note what goes wrong on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",  # root may not have one
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
"""Of a busy machine."""

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


CELLS = "rows => rows.map((row) => [...row.querySelectorAll('th, td')].map((cell) => cell.innerText))"
"""The texts of rows, cell by cell."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; where there is none, a failure in CI and a skip elsewhere."""
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        give_up: Callable[[str], Any] = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"There is no Chromium in the PATH ({', '.join(NAMES)}): apt-get install chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, and what happened on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What scripts, dialogs and the console had to say."""

    def go(self, address: str) -> None:
        """Opens the address, and waits until the view is shown."""
        self.page.goto(address)
        self.settle()

    def settle(self) -> None:
        """Waits until the view that was asked for is shown with its charts."""
        self.page.wait_for_function(
            "() => !document.querySelector('main[aria-busy]') && document.querySelector('h1')"
            " && ![...document.querySelectorAll('.chart')].some((place) => !place.querySelector('svg'))"
        )

    def arrive(self, hash_end: str) -> None:
        """Waits until the address ends like this and its view is shown."""
        self.page.wait_for_function("end => location.hash.endsWith(end)", arg=hash_end)
        self.settle()

    def unfold(self) -> None:
        """Opens all that is folded."""
        for summary in reversed(self.page.locator("details:not([open]) > summary").all()):
            summary.click()

    def heading(self) -> str:
        """What the view is called."""
        return self.page.locator("h1").inner_text()

    def picker(self, label: str) -> Locator:
        """A select by its label."""
        return self.page.get_by_role("combobox", name=label, exact=True)

    def rows(self, caption: str) -> list[list[str]]:
        """The texts of a table's body, cell by cell."""
        table = self.page.get_by_role("region", name=caption, exact=True)
        found: list[list[str]] = table.locator("tbody tr").evaluate_all(CELLS)
        return [[" ".join(cell.split()) for cell in row] for row in found]

    def figure(self, name: str) -> str:
        """The value of a key figure."""
        entry = self.page.locator("dl.figures > div").filter(has=self.page.get_by_text(name, exact=True))
        return entry.locator("dd.value").inner_text()

    def faults(self, *rules: str) -> list[str]:
        """What axe finds fault with, by all rules or by these."""
        options = {"runOnly": list(rules) or STANDARDS, "resultTypes": ["violations"]}
        found = Axe().run(self.page, options=options)
        return [
            f"{fault['id']}: {node['target']} {node['failureSummary']}"
            for fault in found.response["violations"]
            for node in fault["nodes"]
        ]


@contextmanager
def windowed(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """A window with the address in a tab, which keeps its scripts compiled for other tabs."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as window:
        window.set_default_timeout(WAIT_MS)
        window.new_page().goto(address)
        yield window


@contextmanager
def opened(window: BrowserContext) -> Iterator[Tab]:
    """A tab with a session of its own."""
    with window.new_page() as page:
        tab = Tab(page)
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("dialog", lambda dialog: tab.complaints.append(f"dialog {dialog.message}"))
        tab.page.on(
            "console",
            lambda said: tab.complaints.append(said.text) if said.type in {"error", "warning"} else None,
        )
        yield tab
