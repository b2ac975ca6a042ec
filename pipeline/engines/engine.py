"""What an engine does for the rollups."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa

from pipeline.engines.scan import Input


class Engine(Protocol):
    """Runs ``sql/engine/<name>.sql`` over the tables that its header says it reads.

    An engine reads the lake's live files, and nothing else of it; it writes nothing.

    Both methods raise :class:`~pipeline.errors.LakeError` where a file can't be read or there is no room for
    the result, and :class:`~pipeline.errors.EngineError` where the engine itself can't be used.
    """

    def table(self, name: str, /, **inputs: Input) -> pa.Table:
        """The result, in memory."""

    def stream(
        self, name: str, order: Collection[str], /, **inputs: Input
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """The result in the order of some columns if any are given, nulls last.

        Little of it is in memory at a time.
        """
