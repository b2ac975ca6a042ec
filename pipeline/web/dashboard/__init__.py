"""The published stats as pages: one application in the browser, from the API's answers alone.

``static``
    The application: HTML, a style sheet and ES modules, as they are; nothing is built.
``page``
    Its files, and all of them as one document that needs no other.
``routes``
    Serves it beside the API, to everybody: it holds no data.
``report``
    Writes it as one file that works offline, with the API's answers in it.
"""
