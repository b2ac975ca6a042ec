"""Postgres: connections, and what they need.

``connections``
    A database with its connections, and translates its errors into ours.
``sessions``
    The settings that every session has, and their verification.
``conninfo``
    The address in the form that libpq reads.
``url_parameters``
    Parameters that other tools put into the address.
``embedded``
    The embedded Postgres server.
``locks``
    Decides which run may write.
``table_locks``
    Finds out who holds a table that we wait for.
``tables``
    The schema: each table and column with its meaning.
``queries``
    The files of ``sql/``.
``prompt_keys``
    Finds the prompt that an id or a slug names.
"""
