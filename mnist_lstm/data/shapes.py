"""Strokes that are no digit: letters, signs, scribbles, lines and blots, for training a network to doubt them.

Letters that somebody writes like a digit (b, g, l, o, q, s, y, z and others) are left out.
"""

import math

import numpy as np

from mnist_lstm.data.forms import Form, corner
from mnist_lstm.data.pens import Hand, Strokes, trace

LETTERS: dict[str, Form] = {
    "A": (corner((0.0, 1.0), (0.36, 0.0), (0.72, 1.0)), corner((0.14, 0.64), (0.6, 0.64))),
    "E": (corner((0.56, 0.0), (0.0, 0.0), (0.0, 1.0), (0.58, 1.0)), corner((0.0, 0.5), (0.46, 0.5))),
    "F": (corner((0.6, 0.0), (0.02, 0.02), (0.0, 1.0)), corner((0.0, 0.48), (0.46, 0.46))),
    "H": (corner((0.0, 0.0), (0.0, 1.0)), corner((0.62, 0.0), (0.62, 1.0)), corner((0.0, 0.5), (0.62, 0.48))),
    "K": (corner((0.0, 0.0), (0.0, 1.0)), corner((0.58, 0.0), (0.02, 0.52), (0.62, 1.0))),
    "L": (corner((0.02, 0.0), (0.0, 1.0), (0.56, 0.98)),),
    "M": (corner((0.0, 1.0), (0.06, 0.0), (0.44, 0.66), (0.84, 0.0), (0.9, 1.0)),),
    "N": (corner((0.0, 1.0), (0.02, 0.0), (0.66, 1.0), (0.68, 0.0)),),
    "P": (
        corner((0.02, 0.0), (0.0, 1.0)),
        ((0.02, 0.04), (0.02, 0.04), (0.46, 0.04), (0.56, 0.26), (0.4, 0.5), (0.02, 0.52)),
    ),
    "R": (
        corner((0.02, 0.0), (0.0, 1.0)),
        ((0.02, 0.04), (0.44, 0.02), (0.54, 0.24), (0.4, 0.46), (0.04, 0.5), (0.04, 0.5), (0.6, 1.0)),
    ),
    "T": (corner((0.0, 0.02), (0.8, 0.0)), corner((0.4, 0.0), (0.4, 1.0))),
    "U": (((0.0, 0.0), (0.0, 0.6), (0.14, 0.96), (0.46, 0.96), (0.6, 0.6), (0.62, 0.0)),),
    "V": (corner((0.0, 0.0), (0.32, 1.0), (0.66, 0.0)),),
    "W": (corner((0.0, 0.0), (0.22, 1.0), (0.48, 0.3), (0.74, 1.0), (1.0, 0.0)),),
    "X": (corner((0.0, 0.0), (0.66, 1.0)), corner((0.66, 0.0), (0.0, 1.0))),
    "a": (
        ((0.62, 0.16), (0.36, 0.0), (0.04, 0.3), (0.04, 0.76), (0.3, 1.0), (0.6, 0.7)),
        corner((0.64, 0.02), (0.62, 0.76), (0.76, 1.0)),
    ),
    "d": (
        ((0.5, 0.5), (0.28, 0.4), (0.02, 0.66), (0.16, 0.98), (0.4, 0.92), (0.5, 0.6)),
        corner((0.54, 0.0), (0.5, 1.0)),
    ),
    "e": (((0.06, 0.52), (0.72, 0.5), (0.6, 0.12), (0.3, 0.02), (0.02, 0.4), (0.1, 0.86), (0.44, 1.0), (0.76, 0.8)),),
    "h": (
        corner((0.02, 0.0), (0.0, 1.0)),
        ((0.0, 0.7), (0.2, 0.46), (0.44, 0.5), (0.48, 0.74), (0.48, 1.0)),
    ),
    "k": (corner((0.02, 0.0), (0.0, 1.0)), corner((0.44, 0.42), (0.02, 0.7), (0.5, 1.0))),
    "m": (
        ((0.02, 0.0), (0.0, 1.0), (0.0, 1.0), (0.04, 0.4), (0.3, 0.02), (0.5, 0.3), (0.5, 1.0), (0.5, 1.0)),
        ((0.5, 0.6), (0.56, 0.3), (0.8, 0.02), (1.0, 0.3), (1.0, 1.0)),
    ),
    "n": (
        corner((0.02, 0.0), (0.0, 1.0)),
        ((0.0, 0.6), (0.12, 0.2), (0.46, 0.04), (0.66, 0.3), (0.68, 1.0)),
    ),
    "t": (((0.3, 0.0), (0.28, 0.5), (0.3, 0.88), (0.5, 1.0), (0.64, 0.9)), corner((0.0, 0.3), (0.62, 0.28))),
    "u": (((0.0, 0.0), (0.02, 0.6), (0.2, 0.96), (0.5, 0.86), (0.64, 0.4)), corner((0.68, 0.0), (0.7, 1.0))),
    "w": (((0.0, 0.0), (0.1, 0.9), (0.3, 0.96), (0.46, 0.3), (0.46, 0.3), (0.6, 0.96), (0.8, 0.9), (0.92, 0.0)),),
    "+": (corner((0.0, 0.5), (0.96, 0.5)), corner((0.48, 0.0), (0.48, 1.0))),
    "=": (corner((0.0, 0.1), (1.2, 0.06)), corner((0.02, 0.62), (1.22, 0.6))),
    "#": (
        corner((0.3, 0.0), (0.2, 1.0)),
        corner((0.66, 0.0), (0.56, 1.0)),
        corner((0.0, 0.34), (0.9, 0.32)),
        corner((0.0, 0.68), (0.86, 0.66)),
    ),
    "*": (
        corner((0.0, 0.24), (0.86, 0.76)),
        corner((0.86, 0.24), (0.0, 0.76)),
        corner((0.43, 0.0), (0.43, 1.0)),
    ),
    "?": (((0.0, 0.2), (0.2, 0.0), (0.5, 0.1), (0.46, 0.36), (0.24, 0.56), (0.24, 0.74)), ((0.24, 0.96), (0.25, 1.0))),
    "->": (corner((0.0, 0.5), (1.6, 0.5)), corner((1.24, 0.2), (1.6, 0.5), (1.26, 0.82))),
    "tick": (corner((0.0, 0.56), (0.3, 1.0), (1.0, 0.0)),),
    "box": (corner((0.0, 0.0), (0.9, 0.0), (0.9, 1.0), (0.0, 1.0), (0.0, 0.0)),),
    "corner": (corner((0.0, 0.0), (0.0, 1.0), (1.0, 1.0)),),
}  # fmt: skip
"""Forms as in `mnist_lstm.data.pens`, by name."""


def letter(hand: Hand, rng: np.random.Generator) -> Strokes:
    """Return the strokes of a letter or sign in somebody's hand, as `pens.strokes` does those of a digit."""
    return trace(list(LETTERS.values())[rng.integers(len(LETTERS))], hand, rng)


def scribble(hand: Hand, rng: np.random.Generator) -> Strokes:
    """Return one to three curves through 4 to 9 random points each."""
    form = []
    for _ in range(rng.integers(1, 4)):
        points = rng.random((rng.integers(4, 10), 2)) * (rng.uniform(0.6, 1.6), 1.0)
        form.append(tuple((float(x), float(y)) for x, y in points))
    return trace(tuple(form), hand, rng)


def dash(hand: Hand, rng: np.random.Generator) -> Strokes:
    """Return one or two lines that are wider than high: a dash, a ruled line, the edge of a sheet."""
    rise = rng.uniform(-0.2, 0.2)
    lines = [((0.0, 0.5 + rise), (1.0, 0.5 - rise))]
    if rng.random() < 0.3:
        lines.append(((0.0, 0.9 + rise), (1.0, 0.9 - rise)))
    return trace(tuple(corner(*line) for line in lines), hand, rng)


def zigzag(hand: Hand, rng: np.random.Generator) -> Strokes:
    """Return what crosses a word out: a line to and fro."""
    turns = int(rng.integers(4, 10))
    slope = math.copysign(rng.uniform(0.1, 0.5), rng.random() - 0.5)
    points = [(float(n % 2) * 1.2 + rng.normal(0, 0.05), n / turns + slope * (n % 2)) for n in range(turns)]
    return trace((tuple(points),), hand, rng)
