"""Keeps raw events and the lake in order, apart from the refresh.

``reconcile``
    Compares all data with its source, and repairs what differs.
``retention``
    Removes raw rows that the lake has.
``erasure``
    Removes a person's events everywhere.
``rejected``
    Lists, replays and discards rejected events.
``coverage``
    Finds posts without an event.
"""
