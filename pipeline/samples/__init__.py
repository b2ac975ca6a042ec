"""Prompts and traffic for those who have none yet.

``seeding``
    Imports prompts from a file.
``data``
    The prompts that are shipped.
``traffic``
    Made-up users with habits.
``simulation``
    The events that they leave.
"""
