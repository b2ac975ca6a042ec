"""A real PostgreSQL server below ``PROMPT_STATS_HOME``, for machines without one.

``client``
    What a process calls to use the server. It starts the server if needed, and keeps it running.
``supervisor``
    The one process that starts, restarts and stops the server.
``server``
    ``initdb`` and ``pg_ctl``, as the right user, with binaries that this user can read.

Each process that uses the server holds a shared lock on ``clients.lock`` for as long as it lives. The
supervisor tries to get the exclusive lock. When it succeeds, no client is left, and it stops the server. The
kernel frees the locks of a killed process, so a ``kill -9`` of any process leaves nothing to clean up.
See ``docs/decisions/0002-embedded-server.md``.
"""
