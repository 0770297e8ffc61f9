"""Choices and defaults that the command and the functions share; imports nothing heavy."""

from typing import Literal

Ending = Literal["cut", "blank"]

ENDINGS: dict[Ending, str] = {"cut": "the sequence ends there", "blank": "the rest is blank paper"}
"""What follows the rows read so far."""

BLOCK = 3
"""Rows that are occluded at once."""

UNITS = 16
"""Units whose gates are drawn."""
