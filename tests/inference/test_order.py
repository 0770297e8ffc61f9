"""In which order digits are read: lines that slant, bow and lie close, and digits in steps."""

import numpy as np
import pytest

from mnist_lstm.inference.picture.order import sort_into_lines
from mnist_lstm.inference.picture.pieces import Piece

HEIGHT = 40


def page(lines: list[int], pitch: float, slope: float, bow: float, rng: np.random.Generator) -> list[list[Piece]]:
    """Place lines of so many digits: heights from one to the next, slope, and bow in heights per squared width."""
    rows, number = [], 0
    for row, count in enumerate(lines):
        pieces = []
        along = rng.uniform(0, 0.8)
        for _ in range(count):
            down = row * pitch + slope * along + bow * (along - count / 2) ** 2 + rng.normal(0, 0.03)
            high, wide = rng.lognormal(0, 0.06), rng.uniform(0.3, 0.8)
            box = np.rint(HEIGHT * np.array([along, down - high, along + wide, down]) + 500).astype(int)
            pieces.append(Piece(*box.tolist(), (number,), 4.0))
            along += wide + rng.uniform(0.2, 0.8)
            number += 1
        rows.append(pieces)
    return rows


@pytest.mark.parametrize("slope", [-0.15, 0.0, 0.08, 0.15])
@pytest.mark.parametrize(("pitch", "bow"), [(1.3, 0.0), (1.7, 0.05), (1.7, -0.05)])
def test_lines_slant_bow_and_lie_close(slope: float, pitch: float, bow: float) -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(40):
        truth = page(rng.integers(2, 10, rng.integers(1, 6)).tolist(), pitch, slope, bow, rng)
        pieces = [piece for line in truth for piece in line]
        mixed = [pieces[index] for index in rng.permutation(len(pieces))]
        wrong += sort_into_lines(mixed) != truth
    assert wrong <= 2


def test_digits_in_steps_are_one_line() -> None:
    truth = [Piece(60 * i, 20 * i, 60 * i + 25, 20 * i + HEIGHT, (i,), 4.0) for i in range(5)]
    assert sort_into_lines(truth[::-1]) == [truth]


def test_a_short_line_does_not_take_the_end_of_a_long_one() -> None:
    """The end of a line that rises is as high as the line above it, but far from it."""
    short = [Piece(x, 80, x + 25, 120, (x,), 4.0) for x in (0, 50)]
    long = [Piece(50 * i, 160 - i * i, 50 * i + 25, 200 - i * i, (100 + i,), 4.0) for i in range(9)]
    assert sort_into_lines([*long, *short]) == [short, long]
