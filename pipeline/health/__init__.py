"""Says whether all is well, and what to do if it is not. It repairs nothing.

``checks``
    Compares the stats with their sources, and looks for what is odd.
``doctor``
    Examines the setup: environment, server, rights, schema, lake.
"""
