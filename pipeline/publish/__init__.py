"""Writes the stats into Postgres: all tables of a refresh in one transaction, or none.

``publish``
    The transaction: what is complete, what changed, and the progress.
``copy``
    Frames into tables.
"""
