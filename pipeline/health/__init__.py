"""Whether all is well, and what to do if not; repairs nothing.

``checks``
    Compares the stats with what they are made from, and looks for what is odd.
``doctor``
    Looks at what is around the numbers: environment, server, rights, schema, lake.
"""
