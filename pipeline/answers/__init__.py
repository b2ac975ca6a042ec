"""What people ask of the published stats.

``reading``
    Status, rankings, one prompt.
``comparison``
    Whether one prompt is better than another.
``export``
    A whole table as a file.
``period_export``
    The same of some days.
"""
