"""Postgres: how it is reached, and what is asked there.

``connections``
    A database and its connections; the errors that it raises, as ours.
``sessions``
    The settings that every session has, verified.
``conninfo``
    The address, in the one form that libpq reads.
``url_parameters``
    What other tools put into it.
``embedded``
    The Postgres that starts by itself.
``locks``
    Which run may write now.
``table_locks``
    Who holds a table that we wait for.
``tables``
    The schema: each table and column with its meaning.
``queries``
    The files of ``sql/``.
``prompt_keys``
    Which prompt an id or a slug names.
"""
