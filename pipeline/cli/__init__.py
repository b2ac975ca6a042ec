"""The command line, ``prompt-stats``.

``main``
    The application, and the edge where errors become texts and exit codes.
``context``
    What the commands share: settings, database, output.
``writing``
    ``migrate``, ``seed-prompts``, ``simulate``, ``refresh``, ``backfill``.
``keeping``
    ``reconcile``, ``keep-up``, ``retain``, ``erase-user``.
``reading``
    ``status``, ``top``, ``show``.
``tour``
    ``demo`` and ``ui``.
``render``
    Answers as tables and small charts.
"""
