"""The command line, ``prompt-stats``.

``main``
    The application, and the edge where errors become texts and exit codes.
``catalog``
    The commands, and where each is: a module is imported when its command is called.
``failures``
    What is said of a command that failed.
``context``
    What the commands share: settings, database, output.
``terminal``
    The one way to the terminal, on which text is never markup.
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
    The options by which a command is told which days to count.
``alerting``
    ``alerts``.
``exporting``
    ``export``.
``tour``
    ``demo``, ``ui``, ``exec``.
``render``
    Answers as tables and small charts.
"""
