"""Answers questions about the published stats.

``reading``
    Status, rankings, one prompt.
``comparison``
    Whether one prompt is better than another.
``export``
    A whole table as a file.
``period_export``
    A table for a range of days as a file.
"""
