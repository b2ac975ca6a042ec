"""The app's tables, found or made: what there is, what is missing, and the quick steps that add it.

``schema``
    Brings a database to this version's schema: the migrations, and the steps beside an app.
``catalog``
    Reads what the database has of the four tables.
``ids``
    The types of ids: the stats tables take those of the app.
``plan``
    Pure: what there is in, the missing steps and what stands in their way out.
``partitions``
    Pure: the partitions of a table that ``migrate --partition-by`` makes, and those of the months to come.
``writing``
    Pure: what ``prompt_usage`` does with events that are tracked.
``offers``
    What would help and is the app's to decide: shown, and never done.
``triggers``
    Pure: the triggers on ``prompt_usage`` and their functions, as SQL.
``comments``
    Brings the comments of our tables up to date.
``steps``
    Takes the steps, one at a time and never in a writer's way; and takes them back.
"""
