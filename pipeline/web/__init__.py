"""HTTP: an API for programs, and pages for people.

``api``
    Accepts events, and answers from the published stats.
``dashboard``
    The published stats as pages, served beside the API and written as one file.
"""
