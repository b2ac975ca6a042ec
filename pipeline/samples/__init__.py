"""Sample prompts and traffic.

``seeding``
    Imports prompts from a file.
``data``
    The prompts that are shipped.
``traffic``
    Simulated users with habits.
``simulation``
    Appends the events of these users.
"""
