"""Events' texts for a database whose encoding can't hold all of Unicode."""

from __future__ import annotations

import pytest

from pipeline.tracking.encodings import fitted
from pipeline.tracking.event import RejectedEvent

OUTSIDE = "🎉"


def texts_in(encoding: str, scene: str) -> tuple[str, object]:
    """The reason and the scene of a rejected event, as that encoding can hold them."""
    record = fitted(RejectedEvent("an id", scene, {"scene": scene, "success": True}), encoding)
    assert isinstance(record, RejectedEvent)
    assert record.payload["success"] is True
    return record.reason, record.payload["scene"]


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("UTF8", OUTSIDE),
        ("LATIN1", "café"),
        ("LATIN9", "10 €"),
        ("WIN1252", "café 10 €"),
        ("WIN866", "тест"),
        ("KOI8R", "тест"),
        ("KOI8U", "їжак"),
        ("ISO_8859_7", "τεστ"),
        ("EUC_JP", "日本"),
        ("EUC_JIS_2004", "日本"),
        ("EUC_KR", "한국"),
        ("EUC_CN", "中国"),
        # Python does not know it: all but ASCII is escaped.
        ("EUC_TW", "plain"),
    ],
)
def test_what_the_encoding_holds_stays(encoding: str, word: str) -> None:
    assert texts_in(encoding, word) == (word, word)
    if encoding != "UTF8":
        escaped = word + r"\U0001f389"
        assert texts_in(encoding, word + OUTSIDE) == (escaped, escaped)
