"""Over HTTP: what programs ask, and pages for people.

``api``
    Takes events, answers from the published stats.
``dashboard``
    The published stats as pages, served beside the API and written as one file.
"""
