"""Removes a person from all that is kept: tables, lake, journal, logs; and searches for what is left.

``person`` is who is meant and how the id may be spelled, ``removal`` takes the person out of what other
modules do not look after, ``search`` looks for what is left, and ``erasing`` does it all in order.
``account`` says what was done if it fails half-way.
"""

from pipeline.maintenance.erasure.erasing import ErasureReport, erase_user
from pipeline.maintenance.erasure.person import Person

__all__ = ["ErasureReport", "Person", "erase_user"]
