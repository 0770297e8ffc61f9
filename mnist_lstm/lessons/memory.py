"""The task of the lessons on memory: a mark at one step is to be named at the last, and all between is noise."""

import math

import torch
from matplotlib.axes import Axes
from torch import Tensor

MARKS = 4
"""Different marks; a guess is right once in four times."""

GUESS = math.log(MARKS)
"""Cross-entropy of a guess."""

NOISE = 0.3
"""Standard deviation of what is read at the other steps, beside a mark's 1."""


def draw(number: int, length: int, generator: torch.Generator, place: int = 0) -> tuple[Tensor, Tensor]:
    """Draw sequences that nobody has seen before.

    Args:
        number: of sequences, N.
        length: steps L of each.
        generator: what draws.
        place: step of the mark, counted from 0.

    Returns:
        Sequences ``(N, L, MARKS)``, noise but for a row with a single 1, and which mark it was, ``(N,)``.
    """
    sequences = NOISE * torch.randn(number, length, MARKS, generator=generator)
    marks = torch.randint(0, MARKS, (number,), generator=generator)
    sequences[:, place] = torch.eye(MARKS)[marks]
    return sequences, marks


def mark_guess(axis: Axes) -> None:
    """Draw a line where the loss of a guess is."""
    axis.axhline(GUESS, color="0.5", linewidth=1)
    place = (0.99, GUESS)
    axis.annotate("a guess", place, xycoords=("axes fraction", "data"), color="0.4", ha="right", va="bottom")
