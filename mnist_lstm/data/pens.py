"""Draw digits with a pen: many forms of each digit, in hands that differ by slant, width, pressure and steadiness.

A pen follows a smooth curve through the points of a form's strokes (Catmull-Rom), with a corner where a point is given
twice.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from mnist_lstm.data.forms import FORMS, Form, Point

Strokes = list[npt.NDArray[np.float64]]
"""Per stroke an array ``(points, 2)`` of x and y."""

STEPS = 8
"""Points of the curve from one point of a form to the next."""


@dataclass(frozen=True)
class Hand:
    """How somebody writes: the same for all digits of a picture.

    Attributes:
        slant: shift to the right per unit of height.
        stretch: factor of the width.
        jitter: standard deviation of each point's displacement, as a share of the height.
        turn: standard deviation of each digit's rotation, in radians.
        choice: from 0 to 1; which form of each digit this hand prefers.
    """

    slant: float
    stretch: float
    jitter: float
    turn: float
    choice: float


def draw_hand(rng: np.random.Generator) -> Hand:
    """Draw a hand at random."""
    return Hand(
        slant=float(rng.normal(0.08, 0.15)),
        stretch=float(rng.lognormal(0, 0.15)),
        jitter=float(rng.uniform(0.005, 0.03)),
        turn=float(rng.uniform(0, 0.06)),
        choice=float(rng.random()),
    )


def strokes(digit: int, hand: Hand, rng: np.random.Generator, forms: dict[int, tuple[Form, ...]] = FORMS) -> Strokes:
    """Return the strokes of a digit written by a hand.

    Args:
        digit: 0 to 9.
        hand: which form it prefers, and how it distorts the form.
        rng: for what differs from one digit of the hand to the next.
        forms: to choose from.

    Returns:
        Per stroke an array ``(points, 2)`` of x and y: height 1, the top at 0, the left edge at 0.
    """
    form = forms[digit][int((hand.choice * 997 + digit * 0.37) % 1 * len(forms[digit]))]
    if rng.random() < 0.15:
        form = forms[digit][rng.integers(len(forms[digit]))]
    return trace(form, hand, rng)


def trace(form: Form, hand: Hand, rng: np.random.Generator) -> Strokes:
    """Return the strokes of a form, as `strokes` does; what is more than twice as wide as high gets the width 2."""
    turn = rng.normal(0, hand.turn)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    result = []
    moved: dict[Point, npt.NDArray[np.float64]] = {}  # strokes that meet at a point still do
    for points in form:
        for point in points:
            if point not in moved:
                moved[point] = np.array(point) + rng.normal(0, hand.jitter, 2)
        x, y = np.array([moved[point] for point in points]).T
        path = np.stack([x * hand.stretch - hand.slant * (y - 0.5), y], axis=1) @ rotation.T
        result.append(_smooth(path))
    every = np.concatenate(result)
    low = every.min(axis=0)
    width, height = np.ptp(every, axis=0)
    return [(path - low) / max(height, width / 2) for path in result]


def draw(paths: Strokes, height: float, width: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Draw strokes with a round pen, without any margin.

    Args:
        paths: from `strokes`.
        height: of the digit in pixels, the pen's width included.
        width: of the pen in pixels.
        rng: for the pressure, which varies along a stroke.

    Returns:
        Share of each pixel that is inked, float32 ``(height, width)``, 0 to 1.
    """
    fine = 4 if height < 150 else 2
    scale = max(height - width, 1.0) * fine
    every = np.concatenate(paths)
    thickness = width * fine
    size = math.ceil(np.ptp(every[:, 0]) * scale + thickness), math.ceil(scale + thickness)
    mask = Image.new("L", (-(-size[0] // fine) * fine, -(-size[1] // fine) * fine))
    pen = ImageDraw.Draw(mask)
    phase, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.2)
    for path in paths:
        places = path * scale + thickness / 2
        for number, (start, end) in enumerate(itertools.pairwise(places)):
            wide = thickness * (1 - depth * (1 + math.sin(phase + number / 6)) / 2)
            pen.line([*start, *end], fill=255, width=max(1, round(wide)))
            pen.ellipse([*(end - wide / 2), *(end + wide / 2)], fill=255)
        pen.ellipse([*(places[0] - thickness / 2), *(places[0] + thickness / 2)], fill=255)
    return np.asarray(mask.reduce(fine), dtype=np.float32) / np.float32(255)


def _smooth(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a curve through points ``(N, 2)``: Catmull-Rom, and a corner where two are the same."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    at = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
    pieces = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        if (start == end).all():
            continue
        first, second = (end - before) / 2, (after - start) / 2
        if (before == start).all():
            first = (end - start) / 2
        if (after == end).all():
            second = (end - start) / 2
        cubic = (2 * at**3 - 3 * at**2 + 1) * start + (at**3 - 2 * at**2 + at) * first
        pieces.append(cubic + (-2 * at**3 + 3 * at**2) * end + (at**3 - at**2) * second)
    return np.concatenate([*pieces, points[-1:]])
