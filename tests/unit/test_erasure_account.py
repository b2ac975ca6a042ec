"""An erasure that fails at any step says which ones are done, which may be, and which are not."""

from __future__ import annotations

import pytest

from pipeline.errors import DatabaseError, LakeError
from pipeline.maintenance.erasure.account import AGAIN, Account, Step, listed

STEPS = list(Step)


@pytest.mark.parametrize("failing", STEPS)
def test_each_step_is_done_or_in_part_or_not(failing: Step) -> None:
    account = Account()

    def erase() -> None:
        for step in STEPS:
            with account.step(step):
                if step is failing:
                    raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left") as raised:
        erase()
    error = account.half_way(raised.value)
    place = STEPS.index(failing)
    done = f"done: {listed(STEPS[:place])}" if place else "nothing is done"
    assert isinstance(error, DatabaseError)
    assert error.wrong == (
        f"No space left on device. So this may be done in part: {failing.value}; {done};"
        f" not done: {listed(STEPS[place + 1 :])}"
    )


def test_what_was_done_before_ctrl_c_is_said_too() -> None:
    account = Account()
    assert "done in part: nothing; nothing is done" in account.half_way(KeyboardInterrupt()).wrong
    with account.step(Step.JOURNAL):
        pass
    # Between two steps, and within one.
    said = account.half_way(KeyboardInterrupt()).wrong
    assert f"it was interrupted. So this may be done in part: nothing; done: {Step.JOURNAL.value};" in said
    with pytest.raises(KeyboardInterrupt), account.step(Step.ROWS):
        raise KeyboardInterrupt
    said = account.half_way(KeyboardInterrupt()).wrong
    assert f"in part: {Step.ROWS.value}; done: {Step.JOURNAL.value};" in said


def test_an_error_of_ours_stays_what_it_is() -> None:
    account = Account()
    with pytest.raises(LakeError) as raised, account.step(Step.JOURNAL):
        raise LakeError("Reading a day", "a file is gone", "Restore it")
    error = account.half_way(raised.value)
    assert isinstance(error, LakeError)
    assert error.remedy == f"Restore it. {AGAIN}"
    assert error.wrong.startswith("Reading a day: a file is gone. ")
