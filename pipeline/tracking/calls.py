"""Calls that a signal's handler must not take the place of: they hold locks that its work waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ContextDecorator


class Calls(threading.local, ContextDecorator):
    """The calls that this thread is in: a function is one if it is decorated, a block by ``with``.

    A handler runs in the main thread, in the middle of whatever that does, and what it interrupted goes on
    when it has returned. If it waits for a lock that is held there, it waits for ever.
    """

    _depth = 0
    _action: Callable[[], None] | None = None

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._action is not None and self._depth == 0:
            action, self._action = self._action, None
            action()

    def afterwards(self, action: Callable[[], None]) -> None:
        """Runs the action at the end of the outermost call, or at once if there is none."""
        if self._depth == 0:
            action()
        else:
            self._action = action


calls = Calls()
"""Those into the trackers of this process."""
