"""Writes the stats into Postgres: all tables of a refresh in one transaction, or none.

``publish``
    The stats of prompts, scenes and days, computed; then the transaction that compares and writes.
``basis``
    What is published when that begins: whether another publish came first.
``progress``
    How far the stats go: what the partials hold, against what Postgres holds.
``guard``
    What has to hold of the lake before anything is published.
``users``
    The stats of users, at a pace of their own.
``write_back``
    The counters in ``prompts``, unless they are to be left alone.
``fitting``
    Whether the columns there can hold them.
``values``
    What does not add up from day to day, by scene, environment and outfit, counted once a day.
``copy``
    Frames into tables.
``binary``
    Frames as Postgres reads them fastest.
"""
