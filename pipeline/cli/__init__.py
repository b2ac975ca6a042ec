"""The command line, ``prompt-stats``.

``main``
    The application, and the place where errors become texts and exit codes.
``catalog``
    The commands, and where each one is. A module is imported when its command is called.
``failures``
    Reports why a command failed.
``context``
    What the commands share: settings, database, output.
``terminal``
    The only way to the terminal. Text is never read as markup.
``writing``
    ``migrate``, ``seed-prompts``, ``simulate``, ``refresh``, ``backfill``.
``keeping``
    ``reconcile``, ``keep-up``, ``retain``, ``erase-user``.
``checking``
    ``check``, ``doctor``.
``events``
    ``rejected``, ``send-journal``, ``track-missing``.
``serving``
    ``serve``.
``reading``
    ``status``, ``top``, ``show``, ``report``.
``comparing``
    ``compare``.
``days``
    The options that say which days to count.
``alerting``
    ``alerts``.
``exporting``
    ``export``.
``tour``
    ``demo``, ``ui``, ``exec``.
``render``
    Answers as tables and small charts.
"""
