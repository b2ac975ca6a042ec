"""The HTTP API: accepts events, and answers from the published stats. Closed by default.

``app``
    Builds the application: routes, connections, errors.
``access``
    Decides who may do what: bearer tokens with scopes, or only this machine.
``addresses``
    Reads the parts of a request's address strictly.
``bodies``
    Limits the size of a request's body.
``headers``
    The security headers of every answer.
``server``
    Serves the application with uvicorn, with limits on time, size and number.
``connections``
    Connections to the database that give up in time.
``problems``
    Errors as ``application/problem+json``.
``answers``
    The models of answers.
``values``
    Values of an app's columns as JSON.
``kept``
    Keeps answers until their data changes.
``reader``
    Reads the published stats and how fresh they are.
``periods``
    The days that an answer covers, and what is counted for them from the lake.
``prompts``
    Stats of prompts, rankings, times, errors.
``comparison``
    Whether one prompt is better than another, or than before a date.
``failures``
    The latest failed events of a prompt, as examples.
``history``
    Usage over time: of a prompt, of all prompts, by scene.
``markers``
    The days on which a prompt's author noted a change.
``overall``
    Scenes, environments, outfits and categories over all prompts.
``alerts``
    The alerts.
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
