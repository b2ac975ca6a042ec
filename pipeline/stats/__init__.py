"""Frames in, frames out: partials become the tables that people read. No I/O, no clock, no Dagster.

``rates``
    Success rates, means, and the lower bound of a rate's confidence interval.
``comparison``
    The interval of the difference of two rates, and a plain verdict.
``change_point``
    The day since which a success rate is another.
``percentiles``
    Percentiles from counts by logarithmic bucket.
``errors``
    Error messages folded into kinds.
``frames``
    One function a stats table.
``changes``
    What differs between the published table and the new one.
``drift``
    How far counters that an app kept for itself are from what is counted.
"""
