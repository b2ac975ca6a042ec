"""The files of the dashboard, and all of them as one document that needs no other.

``static/page.html`` is what is served, as it stands there. Its modules import each other by the names of its
import map, so that the one document can hold them as ``data:`` addresses: a page that was opened as a file
may not read its neighbours.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert

STATIC = Path(__file__).with_name("static")
PAGE = "page.html"
STYLE = "dashboard.css"
MAIN = "dashboard/main"
VEGA = "vega.js"
CHARSET = '<meta charset="utf-8">'

IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
FILE_POLICY = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data:"
"""Of the document that is one file: what it runs is in it, and it asks nobody."""


def names() -> set[str]:
    """The files beside the page."""
    return {file.name for file in STATIC.iterdir()} - {PAGE} | {VEGA}


@cache
def content(name: str) -> bytes:
    """The page, or one of its files; Vega is put together at its first use, which takes some seconds."""
    if name == VEGA:
        return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode()
    return (STATIC / name).read_bytes()


def served_policy() -> str:
    """The Content-Security-Policy of the page that is served: this server's files, and its own import map.

    No ``unsafe-eval``: Vega interprets its expressions. Styles of elements are allowed, since Vega sets them
    as attributes; what could come in by them, a picture, is not.
    """
    found = IMPORT_MAP.search(_text(PAGE))
    assert found, "the page has an import map"  # noqa: S101  # of our own file
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; connect-src 'self'; img-src data:; "
        "style-src 'self'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def one_document(answers: Mapping[str, Any]) -> str:
    """The page with its files and these ``answers`` in it, for the source of ``static/source.js``."""
    style, vega = (f"<{tag}>{_text(name)}</{tag}>" for tag, name in (("style", STYLE), ("script", VEGA)))
    held = f'<script type="application/json" id="answers">{_embedded(answers)}</script>'
    start = f'<script type="module">import "{MAIN}";</script>'
    document = IMPORT_MAP.sub(_with_modules, _text(PAGE))
    for old, new in {
        CHARSET: f'{CHARSET}\n<meta http-equiv="Content-Security-Policy" content="{FILE_POLICY}">',
        f'<link rel="stylesheet" href="dashboard/{STYLE}">': style,
        f'<script src="dashboard/{VEGA}" id="vega" async></script>': vega,
        f'<script type="module" src="{MAIN}.js"></script>': f"{held}\n{start}",
    }.items():
        assert old in document, f"the page has {old}"  # noqa: S101  # of our own file
        document = document.replace(old, new, 1)
    return document


def _embedded(answers: Mapping[str, Any]) -> str:
    """JSON that a script element may hold: a "</" in a prompt's name would end it."""
    return json.dumps(answers, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _with_modules(found: re.Match[str]) -> str:
    imports = json.loads(found[1])["imports"]
    held = {
        name: "data:text/javascript;base64," + base64.b64encode(content(Path(file).name)).decode()
        for name, file in imports.items()
    }
    return f'<script type="importmap">{json.dumps({"imports": held})}</script>'


def _text(name: str) -> str:
    return content(name).decode()
