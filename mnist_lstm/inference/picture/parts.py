"""Connected parts of the ink, and what tells a stroke from a shadow, a stain or bare paper."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.ink import Grey, Ink
from mnist_lstm.inference.picture.morphology import Labels, Mask, depth, dilate, erode, keep_runs, label
from mnist_lstm.inference.picture.rulings import remove_rulings

PALE = 0.35  # level of ink that may be light alone: a flash, the edge of a shadow, a blotch
FAINT_LINE = 0.7  # strength of printed lines, as a share of the least strength of ink
SLENDER = 0.4  # ratio of the deviations across and along a bar, at most: 1s have 0.2, digits of one stroke 0.45
# share of what is around a part, or of itself, in the rest of a line at least: digits have up to 0.27 and 0.3
TOUCHING, ALONG, ON = 0.05, 0.33, 0.5
WHOLE, LONG, BAR = 0.95, 6, 0.65  # share of the bar's columns, its length over its width, its share of the part
Window = tuple[slice, slice]
CHANGE = 0.3  # of the grey levels at the edge of a stroke, as a share of its strength, at least
MAX_PARTS = 3000  # only this many of the largest parts are considered: noise falls into thousands


@dataclass(frozen=True)
class Bounds:
    """A bounding box in pixels, half-open like a slice."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Part(Bounds):
    """A connected part of the ink.

    Attributes:
        label: its value in the labelled picture.
        area: in pixels.
        stroke: width of its stroke in pixels, where it is widest but for a tenth.
        level: strength of its ink.
        sharpness: share of its strength that is lost just outside it, about 0 for a soft shadow, 1 for a stroke.
        excess: share of its strength above the median of its surroundings; paper between strokes has none.
        edges: number of edges of the picture that it touches.
        step: difference of the grounds on both sides of a bar, as a share of the ink's difference from their mean: 0
            for a stroke, 1 and more where a shadow or an object ends; 0 for what is no bar, or a crooked one.
        shown: share of its strength that it has beside what is just outside it: about 1 for a stroke, anything where
            the ground was not estimated well.
        edge: width in pixels over which pale ink becomes the ground; 0 for other ink.
        dark: share of what is just outside it that is as dark: about 0 for a stroke, half for the outline of
            something solid.
        faded: share of its outline across which the grey levels hardly change: 0 for a stroke, a tenth and more for a
            patch of light, which ends where the ground was not estimated well.
    """

    label: int
    area: int
    stroke: float
    level: float
    sharpness: float
    excess: float
    edges: int
    step: float = 0.0
    shown: float = 1.0
    edge: float = 0.0
    dark: float = 0.0
    faded: float = 0.0

    @property
    def side(self) -> int:
        """Return the longer side in pixels."""
        return max(self.width, self.height)

    @property
    def filled(self) -> float:
        """Return the share of its bounding box that it covers."""
        return self.area / (self.width * self.height)

    @property
    def is_bar(self) -> bool:
        """Whether it is one stroke, straight or slightly bent, as a 1 is, a ruled line, or the edge of a shadow."""
        length = math.hypot(self.width, self.height)
        return self.area < 1.6 * self.stroke * length and length > 4 * self.stroke

    @property
    def is_ruled(self) -> bool:
        """Whether it is a bar along the rows or the columns of the picture, as a printed line is, and some 1s."""
        return self.is_bar and min(self.width, self.height) <= 1.6 * self.stroke

    @property
    def slices(self) -> Window:
        """Return the index of the bounding box in a picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def find_parts(ink: Ink) -> tuple[list[Part], Labels, Mask]:
    """Return the parts of the ink, the largest first, the labelled picture, and the ink of printed lines and boxes."""
    inked = ink.strength > ink.weak
    mask = remove_rulings(inked, ink.strength > FAINT_LINE * ink.weak)
    lines = inked & ~mask
    labels, boxes = label(mask)
    distance = depth(mask)
    height, width = mask.shape
    parts = []
    for number in (np.argsort(-boxes[1:, 4], kind="stable")[:MAX_PARTS] + 1).tolist():
        left, top, wide, high, area = boxes[number].tolist()
        if area < 4:
            break
        box = slice(top, top + high), slice(left, left + wide)
        own = labels[box] == number
        strength, depths = ink.strength[box][own], distance[box][own]
        if strength.max() < ink.strong:
            continue
        level = float(np.percentile(strength, 80))
        stroke = 2 * float(np.percentile(depths[depths >= min(1.0, depths.max())], 90))
        if _is_rest(labels, lines, number, box, stroke):
            lines[box] |= own
            continue
        excess = float(np.clip(np.median(ink.excess[box][own]) / max(np.median(strength), 1e-6), 0, 1))
        reach = round(min(max(3, 0.01 * max(mask.shape), 0.35 * stroke), 0.04 * max(mask.shape) + 2))
        around = _around(labels, lines, number, box, reach)
        sharpness = _lost(ink.strength[around.window], around) / max(level, 1e-6)
        edges = (top == 0) + (left == 0) + (top + high == height) + (left + wide == width)
        place = (left, top, left + wide, top + high)
        part = Part(*place, number, area, stroke, level, sharpness, excess, edges, 0.0, *_compare(ink, around, level))
        parts.append(replace(part, step=_step(ink.grey[around.window], around)) if part.is_bar else part)
    return parts, labels, lines


class _Around(NamedTuple):
    """A part and what is around it.

    Attributes:
        window: the index of what follows in a picture.
        own: the part.
        free: what is no ink.
        outside: what of that is ``reach`` pixels away from the part.
        rim: what of the part is within ``reach`` pixels of its edge.
        reach: in pixels.
    """

    window: Window
    own: Mask
    free: Mask
    outside: Mask
    rim: Mask
    reach: int


def _around(labels: Labels, lines: Mask, number: int, box: Window, reach: int) -> _Around:
    rows, columns = (slice(max(0, side.start - reach), side.stop + reach) for side in box)
    own = labels[rows, columns] == number
    size = 2 * reach + 1
    free = (labels[rows, columns] == 0) & ~lines[rows, columns]
    outside = free & dilate(own, size, size) & ~dilate(own, size - 2, size - 2)
    rim = own & dilate(own & ~erode(own, 3, 3), size, size)
    return _Around((rows, columns), own, free, outside, rim, reach)


def _is_rest(labels: Labels, lines: Mask, number: int, box: Window, stroke: float) -> bool:
    """Return whether a part is left of printed lines: it lies along them, goes on as they do, or is a bar between."""
    reach = round(3 * stroke) + 3
    rows, columns = (slice(max(0, side.start - reach), side.stop + reach) for side in box)
    printed = lines[rows, columns]
    if not printed.any():
        return False
    own = labels[rows, columns] == number
    beside = dilate(own, 3, 3) & ~own
    along = float(printed[beside].mean())
    if along < TOUCHING:
        return False
    ink, beyond = own | printed, round(2 * stroke)
    height, width = (side.stop - side.start + beyond for side in box)
    # a tilted line moves by a pixel or two
    goes_on = keep_runs(dilate(ink, 1, 3), height, 1) | keep_runs(dilate(ink, 3, 1), 1, width)
    return along > ALONG or float(goes_on[own].mean()) > ON or _is_upright_or_level(labels[box] == number)


def _is_upright_or_level(own: Mask) -> bool:
    """Return whether most of a part is a bar along the rows or columns of the picture, as no hand draws a 1."""
    long = own if own.shape[0] > own.shape[1] else own.T
    whole = long.mean(axis=0) > WHOLE
    return bool(LONG * whole.sum() < len(long) and long[:, whole].sum() > BAR * own.sum())


def _lost(strength: Grey, around: _Around) -> float:
    """Return how much less ink there is outside a part than at its rim."""
    if not around.outside.any():
        return float(np.median(strength[around.own]))
    return float(np.median(strength[around.rim]) - np.median(strength[around.outside]))


def _compare(ink: Ink, around: _Around, level: float) -> tuple[float, float, float, float]:
    """Return `shown`, `edge`, `dark` and `faded`: grey levels know nothing of the ground's estimate, maybe wrong."""
    window, own, free, outside, rim, reach = around
    if not outside.any():
        return 1.0, 0.0, 0.0, 0.0
    grey = 1 - ink.grey[window] if ink.is_light else ink.grey[window]
    ground = float(np.median(grey[outside]))
    own_grey, brightest = float(np.median(grey[own])), float(np.percentile(grey[outside], 90))
    dark = float((grey[outside] < own_grey + 0.1 * (brightest - own_grey)).mean())
    height = max(level, 1e-6) * max(ground, ink.least_ground)
    shown = (ground - float(np.median(grey[rim]))) / height
    edge = edge_width(grey, own, height) if level < PALE else 0.0
    return shown, edge, dark, share_faded(grey, own, free, reach, height)


def share_faded(grey: Grey, own: Mask, free: Mask, reach: int, height: float) -> float:
    """Return the share of the outline of dark ink across which the levels change by much less than ``height``.

    Args:
        grey: levels.
        own: the ink.
        free: what is no ink.
        reach: pixels on both sides that are compared.
        height: by how much the levels change at the edge of a stroke.
    """
    size = 2 * reach + 1
    (within, inked), (outside, count) = (_sums(grey, mask, size) for mask in (own, free & ~dilate(own, 3, 3)))
    outline = own & ~erode(own, 3, 3) & (count > size)
    change = outside[outline] / count[outline] - within[outline] / inked[outline]
    return float((change < CHANGE * height).mean()) if change.size else 0.0


def _sums(grey: Grey, mask: Mask, size: int) -> tuple[Grey, Grey]:
    """Return the sum of the levels, and the number of the pixels, of a mask in the square around each pixel."""
    return _sum(np.where(mask, grey, 0), size), _sum(mask, size)


def _sum(values: npt.NDArray[Any], size: int) -> Grey:
    kernel = size, size
    total: Grey = cv2.boxFilter(values.astype(np.float32), -1, kernel, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return total


def edge_width(values: Grey, mask: Mask, height: float) -> float:
    """Return the width in pixels over which values change by ``height`` at the edge of a mask."""
    smooth = cv2.GaussianBlur(values, (0, 0), 0.5)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, x, y, ksize=3) / 8 for x, y in ((1, 0), (0, 1)))
    slopes = np.hypot(across, down)[dilate(mask, 3, 3) & ~erode(mask, 3, 3)]
    return height / max(float(np.percentile(slopes, 60)), 1e-6)


def _step(grey: Grey, around: _Around) -> float:
    """Return `Part.step` of a bar."""
    own, outside = around.own, around.outside
    places, beyond = np.argwhere(own), np.argwhere(outside)
    middle = places.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov((places - middle).T))
    if variances[0] > SLENDER**2 * variances[1]:  # a thin 2, 4, 5 or 7: where shadows end is not as crooked
        return 0.0
    side = (beyond - middle) @ axes[:, 0] > 0  # the first axis is across the bar
    if side.all() or not side.any():
        return 0.0
    levels = grey[outside]
    first, second, ink = (float(np.median(values)) for values in (levels[side], levels[~side], grey[own]))
    return abs(first - second) / max(abs((first + second) / 2 - ink), 1e-6)
