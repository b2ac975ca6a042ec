"""The HTTP API: takes events, and answers from the published stats. Closed by default.

``app``
    Puts it together: routes, connections, errors.
``access``
    Who may do what: bearer tokens with scopes, or this machine alone.
``addresses``
    What a request's address names, read strictly.
``bodies``
    How large a request's body may be.
``headers``
    What a browser is told with every answer.
``server``
    How it is served: uvicorn, with limits on time, size and number.
``connections``
    Connections to the database that give up in time.
``problems``
    Errors as ``application/problem+json``.
``answers``
    What answers look like.
``values``
    What an app's columns hold, as JSON.
``kept``
    Answers that are given again until what they rest on changes.
``reader``
    Reads the published stats, with as of when they are.
``periods``
    Which days an answer is of, and what is counted of them from the lake.
``prompts``
    Stats of prompts, rankings, times, errors.
``comparison``
    Whether one prompt is better than another, or than it was.
``failures``
    The latest failed events of a prompt, as examples.
``history``
    Usage over time: of a prompt, of all, by scene.
``markers``
    The days on which a prompt's author noted a change.
``overall``
    Scenes, environments, outfits and categories over all prompts.
``alerts``
    What is far worse than its own past.
``users``
    A user's prompts and favourites.
``export``
    Whole tables as files.
``operation``
    Status, health, metrics.
``events``
    ``POST /events``, for writers without a database connection.
"""

from pipeline.web.api.app import build_app

__all__ = ["build_app"]
