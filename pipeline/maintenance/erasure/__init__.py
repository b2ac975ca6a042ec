"""Removes a person from all stored data (tables, lake, journal, logs), and searches for what is left.

``person`` describes the person and the spellings of the id. ``removal`` removes the person where no other
module does, ``search`` looks for what is left, and ``erasing`` does everything in order. ``account`` reports
what was done if it fails half-way.
"""

from pipeline.maintenance.erasure.erasing import ErasureReport, erase_user
from pipeline.maintenance.erasure.person import Person

__all__ = ["ErasureReport", "Person", "erase_user"]
