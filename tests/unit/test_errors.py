"""Errors: their text, and that they survive the way between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from pipeline.errors import LakeConflictError, LakeError, PromptStatsError


def tree(of: type[PromptStatsError] = PromptStatsError) -> list[type[PromptStatsError]]:
    """A class and all that derive from it."""
    return [of, *(kind for derived in of.__subclasses__() for kind in tree(derived))]


def test_the_text_says_what_was_attempted_what_was_wrong_and_what_to_do() -> None:
    error = PromptStatsError("Reading a file", "it is empty", "Fill it")

    assert str(error) == "Reading a file: it is empty. Fill it."


@pytest.mark.parametrize("kind", tree())
def test_pickling_changes_nothing(kind: type[PromptStatsError]) -> None:
    error = kind("Reading a file", "it is empty", "Fill it")

    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301  # pickled a line ago
        assert type(same) is kind
        assert str(same) == str(error)
        assert (same.attempted, same.wrong, same.remedy) == ("Reading a file", "it is empty", "Fill it")


def test_a_conflict_is_told_apart_from_other_troubles_of_the_lake() -> None:
    assert issubclass(LakeConflictError, LakeError)
