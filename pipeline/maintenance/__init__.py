"""What keeps raw events and lake in order, besides the refresh.

``reconcile``
    Compares everything with what it was made from, and repairs what differs.
``retention``
    Removes raw rows that the lake has.
``erasure``
    Removes a person's events everywhere.
``rejected``
    Events that could not be taken.
``coverage``
    Posts that no event is about.
"""
