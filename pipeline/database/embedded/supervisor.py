"""The process that starts, restarts and stops the embedded server.

``python -m pipeline.database.embedded.supervisor ROOT`` runs once per home. When the last client has ended,
it stops the server and ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import fasteners

from pipeline.database.embedded.server import Server
from pipeline.errors import PromptStatsError
from pipeline.files import keep_private

POLL_SECONDS = 0.2


def supervise(root: Path) -> int:
    """Keeps the server of ``root`` running as long as somebody holds ``clients.lock``.

    Returns the process's exit code. What went wrong is left in ``root/error`` for the clients to show.
    """
    alone = fasteners.InterProcessLock(root / "supervisor.lock")
    if not alone.acquire(blocking=False):
        return 0
    clients = fasteners.InterProcessReaderWriterLock(root / "clients.lock")
    server = Server(root)
    try:
        server.initialise()
        while not clients.acquire_write_lock(blocking=False):
            if not server.is_running():
                server.start()
                server.create_database()
                (root / "error").unlink(missing_ok=True)
            time.sleep(POLL_SECONDS)
        # New clients wait for the lock that we hold until the server is down, then start another.
        server.stop()
    except (PromptStatsError, OSError) as error:
        (root / "error").write_text(str(error))
        return 1
    return 0


def main() -> None:
    """Detaches from the caller, who need not wait for us or reap us, and supervises."""
    if os.name == "posix" and os.fork():
        os._exit(0)
    keep_private()
    sys.exit(supervise(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
