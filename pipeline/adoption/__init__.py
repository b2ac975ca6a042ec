"""Finds or creates the app's tables, and adds what is missing in quick steps.

``schema``
    Brings a database to this version's schema: the migrations, and the steps on an app's tables.
``catalog``
    Reads what the database has of the four tables.
``ids``
    The types of ids: the stats tables use those of the app.
``plan``
    Pure: computes the missing steps, and the problems that prevent them, from the catalog.
``partitions``
    Pure: the partitions of a table that ``migrate --partition-by`` creates, and those of the next months.
``writing``
    Pure: what ``prompt_usage`` does with tracked events.
``offers``
    Helpful changes that the app's owner has to decide on. They are shown, and never made.
``triggers``
    Pure: the triggers on ``prompt_usage`` and their functions, as SQL.
``comments``
    Brings the comments of our tables up to date.
``steps``
    Takes the steps one at a time without blocking writers, and undoes them.
"""
