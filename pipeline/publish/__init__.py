"""Writes the stats into Postgres: all tables of a refresh in one transaction, or none.

``publish``
    Computes the stats of prompts, scenes and days, then compares and writes them in a transaction.
``basis``
    What was published when a publish began, to notice whether another one came first.
``progress``
    Determines how far the stats go, by comparing the partials with Postgres.
``guard``
    Checks the lake before anything is published.
``users``
    The stats of users, which have their own schedule.
``write_back``
    The counters in ``prompts``, unless write-back is off.
``fitting``
    Checks whether the columns in ``prompts`` can hold the counters.
``values``
    Stats by scene, environment and outfit that can't be summed over days, counted once per day.
``copy``
    Copies frames into tables.
``binary``
    Encodes frames in the form that Postgres reads fastest.
"""
