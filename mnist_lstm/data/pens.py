"""Draw digits with a pen: many forms of each digit, in hands that differ by slant, width, pressure and steadiness.

MNIST's writers are American; others write a 1 with an upstroke and no foot, a 7 with a bar, a 0 with a slash. A form is
a list of strokes through points in a box of height 1, x to the right and y downwards; a pen follows a smooth curve
through them (Catmull-Rom), with a corner where a point is given twice.

`FORMS` are for training, `UNSEEN_FORMS` for measuring: no form is in both.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Point = tuple[float, float]
Form = tuple[tuple[Point, ...], ...]
Strokes = list[npt.NDArray[np.float64]]
"""Per stroke an array ``(points, 2)`` of x and y."""

STEPS = 8
"""Points of the curve from one point of a form to the next."""


def _ellipse(x: float, y: float, width: float, height: float, start: float, end: float) -> tuple[Point, ...]:
    """Return points along an ellipse about (x, y); angles in degrees, 0 to the right, 90 downwards."""
    count = max(3, round(abs(end - start) / 45) + 1)
    angles = np.radians(np.linspace(start, end, count))
    return tuple((x + width / 2 * math.cos(a), y + height / 2 * math.sin(a)) for a in angles)


def corner(*points: Point) -> tuple[Point, ...]:
    """Return points with a corner at each."""
    return tuple(point for point in points for _ in range(2))


_O = _ellipse
_C = corner

FORMS: dict[int, tuple[Form, ...]] = {
    0: (
        (_O(0.35, 0.5, 0.66, 1.0, -90, -455),),
        (_O(0.3, 0.5, 0.54, 1.0, -60, -410),),
        (_O(0.45, 0.5, 0.9, 0.98, -100, -470),),
        (_O(0.35, 0.5, 0.66, 1.0, -90, -450), _C((0.72, 0.04), (0.0, 0.96))),
        (_O(0.35, 0.5, 0.66, 1.0, -90, -450), _C((0.58, 0.28), (0.14, 0.74))),
        (((0.42, 0.0), (0.42, 0.0), (0.08, 0.3), (0.02, 0.65), (0.28, 1.0), (0.6, 0.7), (0.62, 0.3), (0.4, 0.02)),),
        (((0.5, 0.12), (0.28, 0.0), (0.04, 0.4), (0.2, 0.98), (0.58, 0.85), (0.66, 0.3), (0.38, 0.02), (0.3, 0.2)),),
    ),
    1: (
        (_C((0.1, 0.0), (0.1, 1.0)),),
        (((0.2, 0.0), (0.12, 0.5), (0.0, 1.0)),),
        (_C((0.0, 0.24), (0.24, 0.0), (0.24, 1.0)),),
        (_C((0.0, 0.38), (0.34, 0.0), (0.32, 1.0)),),
        (_C((0.0, 0.5), (0.42, 0.0), (0.38, 1.0)),),
        (((0.0, 0.3), (0.14, 0.22), (0.3, 0.0), (0.3, 0.0), (0.26, 0.5), (0.26, 1.0)),),
        (_C((0.0, 0.25), (0.25, 0.0), (0.25, 1.0)), _C((0.02, 1.0), (0.5, 1.0))),
        (_C((0.1, 0.4), (0.42, 0.0), (0.4, 0.98)), _C((0.08, 1.0), (0.72, 0.98))),
        (_C((0.24, 0.0), (0.24, 1.0)), _C((0.0, 1.0), (0.48, 1.0))),
    ),
    2: (
        (((0.04, 0.22), (0.3, 0.0), (0.6, 0.22), (0.36, 0.62), (0.0, 0.98), (0.0, 0.98), (0.66, 0.97)),),
        (((0.02, 0.15), (0.36, 0.0), (0.6, 0.25), (0.3, 0.75), (0.05, 0.95), (0.1, 0.78), (0.4, 0.92), (0.72, 0.94)),),
        (_C((0.0, 0.05), (0.58, 0.02), (0.0, 1.0), (0.62, 1.0)),),
        (((0.1, 0.3), (0.12, 0.08), (0.4, 0.0), (0.58, 0.2), (0.42, 0.5), (0.06, 0.9), (0.3, 0.88), (0.62, 1.0)),),
        (((0.0, 0.3), (0.2, 0.02), (0.5, 0.1), (0.5, 0.4), (0.02, 1.0), (0.02, 1.0), (0.4, 0.9), (0.62, 1.0)),),
        (((0.04, 0.1), (0.3, 0.0), (0.5, 0.2), (0.35, 0.6), (0.06, 0.85), (0.0, 1.0), (0.18, 0.98), (0.22, 0.8),
          (0.12, 0.72), (0.3, 0.85), (0.62, 0.98)),),
    ),
    3: (
        (((0.02, 0.14), (0.3, 0.0), (0.56, 0.2), (0.24, 0.46), (0.24, 0.46), (0.62, 0.7), (0.34, 1.0), (0.0, 0.88)),),
        ((*_C((0.02, 0.02), (0.56, 0.02), (0.22, 0.42)), (0.6, 0.64), (0.5, 0.94), (0.24, 1.0), (0.0, 0.9)),),
        (((0.0, 0.1), (0.34, 0.0), (0.5, 0.2), (0.3, 0.42), (0.16, 0.46), (0.34, 0.46), (0.6, 0.7), (0.3, 1.0),
          (0.0, 0.86)),),
        (((0.06, 0.24), (0.04, 0.06), (0.34, 0.0), (0.52, 0.22), (0.2, 0.48), (0.2, 0.48), (0.56, 0.6), (0.54, 0.9),
          (0.2, 1.0), (0.0, 0.86), (0.1, 0.74)),),
        (((0.08, 0.02), (0.4, 0.04), (0.5, 0.22), (0.2, 0.4), (0.12, 0.5), (0.3, 0.52), (0.22, 0.42), (0.5, 0.56),
          (0.54, 0.86), (0.2, 1.0), (0.0, 0.92)),),
    ),
    4: (
        (_C((0.16, 0.0), (0.0, 0.58), (0.66, 0.56)), _C((0.48, 0.3), (0.46, 1.0))),
        (_C((0.46, 0.0), (0.0, 0.64), (0.68, 0.64)), _C((0.46, 0.0), (0.46, 1.0))),
        (_C((0.7, 0.66), (0.0, 0.64), (0.5, 0.0), (0.48, 1.0)),),
        (((0.06, 0.0), (0.02, 0.4), (0.14, 0.54), (0.52, 0.48)), _C((0.56, 0.0), (0.46, 1.0))),
        (_C((0.36, 0.0), (0.0, 0.4), (0.54, 0.4)), _C((0.36, 0.0), (0.36, 1.0))),
        (_C((0.1, 0.02), (0.06, 0.5), (0.5, 0.48)), _C((0.5, 0.0), (0.48, 1.0))),
    ),
    5: (
        ((*_C((0.12, 0.02), (0.06, 0.44)), (0.36, 0.36), (0.6, 0.64), (0.38, 0.98), (0.0, 0.94)),
         _C((0.12, 0.02), (0.6, 0.0))),
        ((*_C((0.58, 0.0), (0.14, 0.02), (0.08, 0.44)), (0.4, 0.36), (0.58, 0.66), (0.36, 1.0), (0.0, 0.92)),),
        (((0.54, 0.02), (0.24, 0.02), (0.08, 0.3), (0.3, 0.46), (0.56, 0.7), (0.3, 1.0), (0.0, 0.9)),),
        ((*_C((0.1, 0.08), (0.06, 0.46)), (0.34, 0.42), (0.56, 0.7), (0.3, 1.0), (0.04, 0.9)),
         _C((0.16, 0.0), (0.68, 0.04))),
        ((*_C((0.5, 0.0), (0.04, 0.0), (0.04, 0.48)), (0.3, 0.46), (0.56, 0.74), (0.3, 1.0), (0.0, 1.0)),),
    ),
    6: (
        (((0.48, 0.0), (0.16, 0.3), (0.02, 0.7), (0.28, 1.0), (0.54, 0.76), (0.32, 0.52), (0.06, 0.68)),),
        (((0.3, 0.0), (0.06, 0.4), (0.06, 0.8), (0.34, 1.0), (0.6, 0.78), (0.36, 0.56), (0.08, 0.78)),),
        ((*_C((0.12, 0.0), (0.04, 0.72)), (0.22, 1.0), (0.5, 0.84), (0.4, 0.6), (0.06, 0.76)),),
        (((0.56, 0.1), (0.42, 0.0), (0.12, 0.24), (0.02, 0.7), (0.28, 1.0), (0.5, 0.78), (0.3, 0.56), (0.08, 0.76),
          (0.2, 0.9)),),
        (((0.52, 0.02), (0.2, 0.26), (0.02, 0.62), (0.1, 0.94), (0.4, 1.0), (0.58, 0.7), (0.4, 0.4), (0.16, 0.46),
          (0.04, 0.68)),),
    ),
    7: (
        (_C((0.0, 0.02), (0.58, 0.02), (0.2, 1.0)),),
        (_C((0.0, 0.02), (0.56, 0.0), (0.22, 1.0)), _C((0.12, 0.5), (0.6, 0.48))),
        ((*_C((0.0, 0.18), (0.02, 0.02), (0.6, 0.02)), (0.36, 0.4), (0.28, 1.0)),),
        (((0.0, 0.1), (0.2, 0.02), (0.4, 0.08), (0.6, 0.0), (0.6, 0.0), (0.4, 0.4), (0.24, 1.0)),),
        (((0.0, 0.14), (0.02, 0.0), (0.58, 0.06), (0.58, 0.06), (0.34, 0.5), (0.26, 1.0)),
         _C((0.1, 0.56), (0.58, 0.5))),
        (_C((0.0, 0.04), (0.62, 0.0), (0.08, 1.0)),),
    ),
    8: (
        (((0.5, 0.1), (0.28, 0.0), (0.06, 0.2), (0.3, 0.46), (0.54, 0.76), (0.28, 1.0), (0.02, 0.76), (0.3, 0.46),
          (0.5, 0.18), (0.4, 0.02)),),
        (_O(0.29, 0.23, 0.42, 0.46, -90, -450), _O(0.29, 0.73, 0.54, 0.54, -90, 270)),
        (((0.52, 0.06), (0.2, 0.06), (0.12, 0.3), (0.5, 0.66), (0.4, 0.98), (0.06, 0.92), (0.1, 0.62), (0.56, 0.02)),),
        (((0.3, 0.48), (0.06, 0.24), (0.3, 0.0), (0.52, 0.22), (0.28, 0.5), (0.02, 0.78), (0.3, 1.0), (0.56, 0.76),
          (0.3, 0.48)),),
    ),
    9: (
        (((0.5, 0.16), (0.26, 0.0), (0.02, 0.26), (0.24, 0.5), (0.5, 0.2), (0.5, 0.2), (0.46, 1.0)),),
        (((0.52, 0.2), (0.3, 0.0), (0.04, 0.2), (0.18, 0.46), (0.5, 0.24), (0.52, 0.6), (0.3, 0.98), (0.04, 0.9)),),
        (_O(0.27, 0.25, 0.5, 0.48, 0, -350) + _C((0.52, 0.3), (0.3, 1.0)),),
        (((0.46, 0.06), (0.14, 0.08), (0.04, 0.34), (0.3, 0.48), (0.54, 0.1), (0.54, 0.1), (0.5, 0.5), (0.52, 1.0)),),
        (((0.5, 0.06), (0.18, 0.04), (0.04, 0.3), (0.3, 0.44), (0.5, 0.16), (0.46, 0.6), (0.14, 1.0)),),
    ),
}  # fmt: skip
"""Forms for training."""

UNSEEN_FORMS: dict[int, tuple[Form, ...]] = {
    0: (
        (_O(0.32, 0.5, 0.6, 1.0, -130, 240),),
        (_O(0.4, 0.5, 0.78, 1.0, -70, -425), _C((0.78, 0.1), (0.02, 0.9))),
    ),
    1: (
        (((0.16, 0.0), (0.12, 0.4), (0.1, 1.0)),),
        (_C((0.0, 0.32), (0.3, 0.0), (0.27, 1.0)),),
        (_C((0.0, 0.44), (0.38, 0.0), (0.34, 1.0)),),
        (_C((0.06, 0.2), (0.3, 0.0), (0.3, 1.0)), _C((0.06, 1.0), (0.56, 0.98))),
    ),
    2: (
        (((0.04, 0.26), (0.14, 0.04), (0.46, 0.04), (0.54, 0.3), (0.28, 0.68), (0.0, 1.0), (0.0, 1.0), (0.6, 1.0)),),
        (((0.0, 0.12), (0.3, 0.0), (0.54, 0.18), (0.36, 0.6), (0.08, 0.96), (0.02, 0.84), (0.2, 0.82), (0.64, 1.0)),),
    ),
    3: (
        (((0.0, 0.08), (0.3, 0.0), (0.52, 0.22), (0.22, 0.48), (0.22, 0.48), (0.56, 0.72), (0.26, 1.0), (0.0, 0.94)),),
        ((*_C((0.0, 0.0), (0.5, 0.0), (0.16, 0.38)), (0.5, 0.5), (0.56, 0.84), (0.2, 1.0), (0.0, 0.84)),),
    ),
    4: (
        (_C((0.24, 0.0), (0.02, 0.52), (0.6, 0.54)), _C((0.42, 0.34), (0.38, 1.0))),
        (_C((0.4, 0.0), (0.0, 0.5), (0.62, 0.52)), _C((0.42, 0.02), (0.4, 1.0))),
    ),
    5: (
        ((*_C((0.56, 0.04), (0.16, 0.0), (0.06, 0.4)), (0.34, 0.38), (0.54, 0.7), (0.28, 1.0), (0.02, 0.86)),),
        ((*_C((0.14, 0.04), (0.1, 0.42)), (0.42, 0.42), (0.54, 0.72), (0.3, 0.98), (0.0, 0.98)),
         _C((0.12, 0.0), (0.64, 0.02))),
    ),
    6: (
        (((0.4, 0.0), (0.1, 0.34), (0.04, 0.76), (0.3, 1.0), (0.56, 0.72), (0.28, 0.54), (0.06, 0.8)),),
        (((0.5, 0.06), (0.26, 0.06), (0.04, 0.5), (0.1, 0.9), (0.4, 1.0), (0.54, 0.7), (0.3, 0.5), (0.04, 0.62)),),
    ),
    7: (
        ((*_C((0.02, 0.06), (0.56, 0.02)), (0.3, 0.5), (0.2, 1.0)),),
        (_C((0.0, 0.0), (0.6, 0.04), (0.3, 1.0)), _C((0.18, 0.46), (0.58, 0.44))),
    ),
    8: (
        (((0.46, 0.14), (0.24, 0.0), (0.08, 0.24), (0.34, 0.5), (0.5, 0.8), (0.24, 1.0), (0.04, 0.74), (0.34, 0.44),
          (0.48, 0.1)),),
        (_O(0.27, 0.22, 0.44, 0.44, 90, 450), _O(0.27, 0.71, 0.5, 0.58, -90, -450)),
    ),
    9: (
        (((0.48, 0.1), (0.2, 0.02), (0.02, 0.24), (0.2, 0.46), (0.48, 0.14), (0.48, 0.14), (0.44, 0.6), (0.4, 1.0)),),
        ((*_O(0.26, 0.24, 0.48, 0.46, -20, -370), (0.5, 0.6), (0.36, 0.94), (0.06, 0.96)),),
    ),
}  # fmt: skip
"""Other forms of the same digits, for measuring."""


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
