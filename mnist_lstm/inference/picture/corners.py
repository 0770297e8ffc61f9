"""Find sheets of paper by their four straight edges, along which paper and surroundings differ.

brightness ─▶ logarithm ─▶ segments ─▶ lines ─▶ quadrilaterals of two times two lines ─▶ those with the clearest edges

A shadow darkens paper and table by the same factor. So their logarithms differ as much in the shade as in the light,
and a sheet that a shadow crosses is brighter (or darker) than its surroundings along its whole outline.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.ink import Grey
from mnist_lstm.inference.picture.morphology import Mask

SIDE = 320  # longer side, in pixels, at which sheets are looked for
REACH = 5  # pixels on either side of a line where brightness is compared: farther than printed lines are wide
STEP, HIGH_STEP = 0.03, 0.3  # difference in the natural logarithm that is an edge; higher ones count no more
MAX_SEGMENTS, MAX_LINES, MAX_SHEETS = 400, 15, 3  # the longest segments, the clearest lines in each direction
RIM = 0.5  # share of a line's clearest step that is an edge: beside a curved stroke there is only a soft rim
EDGED = 0.9  # least share of an outline along which there is an edge
MIN_SIDES = 3  # within the picture: between the strokes of a close crop, two edges may look like those of a sheet

Corners = npt.NDArray[np.float32]
"""Float32 ``(4, 2)``: x and y of the corners, from the top left one clockwise."""

_Array = npt.NDArray[np.float64]
_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outline:
    """Four straight edges around a sheet.

    Attributes:
        corners: in pixels of the picture; may lie beyond its edges.
        sides: number of the sides within the picture.
        share: of these sides along which there is an edge, 0 to 1.
        step: how much brighter it is inside, in the natural logarithm, on average; at most `HIGH_STEP`.
    """

    corners: Corners
    sides: int
    share: float
    step: float


def find_outlines(grey: Grey) -> list[Outline]:
    """Return the outlines of sheets in a picture, the clearest first; none if paper fills the picture."""
    factor = max(1.0, max(grey.shape) / SIDE)
    size = max(1, round(grey.shape[1] / factor)), max(1, round(grey.shape[0] / factor))
    if min(size) < 40:
        return []
    small = np.rint(cv2.resize(grey, size, interpolation=cv2.INTER_AREA) * 255).astype(np.uint8)
    log = np.log(cv2.medianBlur(small, 5) + np.float32(10))
    lines = _find_lines(log)
    rows, columns = (_Lines.of(lines, log, axis) for axis in (1, 0))
    return _find_quadrilaterals(rows, columns, log.shape, factor)


def _find_lines(log: Grey) -> _Array:
    """Find straight lines: float64 ``(lines, 3)`` with a, b and c of ax + by = c, where a² + b² = 1."""
    image = cv2.normalize(log, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    segments = cv2.createLineSegmentDetector().detect(image)[0]  # von Gioi et al. 2012
    if segments is None:
        return np.zeros((0, 3))
    ends = segments.reshape(-1, 2, 2).astype(np.float64)
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    ends = ends[np.argsort(-lengths)][: min(MAX_SEGMENTS, int((lengths > 0.03 * max(log.shape)).sum()))]
    lines = []
    while len(ends):
        line = _fit(ends[:1])
        for _ in range(2):
            near = (abs(ends @ line[:2] - line[2]) < 2).all(axis=1)
            near[0] = True
            line = _fit(ends[near])
        lines.append(line)
        ends = ends[~near]
    return np.array(lines).reshape(-1, 3)


def _fit(ends: _Array) -> _Array:
    """Fit a line to the ends ``(segments, 2, 2)`` of segments, weighted by their lengths."""
    weights = np.repeat(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), 2)
    points = ends.reshape(-1, 2)
    middle = np.average(points, axis=0, weights=weights)
    normal = np.linalg.eigh(np.cov(points.T, aweights=weights))[1][:, 0]
    return np.array([*normal, normal @ middle])


@dataclass(frozen=True)
class _Lines:
    """Lines in one direction, with what is along each: at every pixel, from -``middle`` to ``middle``.

    Attributes:
        lines: float64 ``(lines, 3)``, from the top or the left; among them two edges of the picture.
        brighter: int64 ``(lines, places)``, number of places so far below (or right of) which it is brighter.
        darker: the same, darker.
        inside: the same, within the picture; none along its edges.
        steps: float64, sum so far of the differences.
    """

    lines: _Array
    brighter: _Numbers
    darker: _Numbers
    inside: _Numbers
    steps: _Array

    @classmethod
    def of(cls, lines: _Array, log: Grey, axis: int) -> "_Lines":
        """Take the clearest lines with the normal near an axis: 1 for horizontal lines, 0 for vertical ones."""
        lines = lines[abs(lines[:, axis]) > abs(lines[:, 1 - axis])]
        lines = lines * np.sign(lines[:, axis : axis + 1])
        steps, inside = _steps_along(lines, log)
        clearest = np.argsort(-abs(np.clip(steps, -HIGH_STEP, HIGH_STEP).sum(axis=1)))[:MAX_LINES]
        edges = np.zeros((2, 3))
        edges[:, axis] = 1
        edges[1, 2] = log.shape[1 - axis] - 1
        lines = np.concatenate([edges, lines[clearest]])
        middle = np.array(log.shape[::-1]) / 2
        order = np.argsort(lines[:, 2] - lines[:, :2] @ middle)
        lines = lines[order]
        steps = np.pad(steps[clearest], ((2, 0), (0, 0)))[order]
        inside = np.pad(inside[clearest], ((2, 0), (0, 0)))[order]
        clear = np.sort(abs(steps), axis=1)[:, -log.shape[axis] // 10]
        least = np.maximum(STEP, RIM * clear)[:, None]
        return cls(
            lines,
            brighter=(steps > least).cumsum(axis=1),
            darker=(steps < -least).cumsum(axis=1),
            inside=inside.cumsum(axis=1),
            steps=np.clip(steps, -HIGH_STEP, HIGH_STEP).cumsum(axis=1),
        )


def _steps_along(lines: _Array, log: Grey) -> tuple[_Array, Mask]:
    """Return how much brighter it is below (or right of) each pixel of lines, and whether that is in the picture."""
    height, width = log.shape
    middle = _middle(log.shape)
    normals = lines[:, None, :2]
    places = normals * lines[:, None, 2:] + np.arange(-middle, middle + 1)[:, None] * _along(normals)
    inside = np.ones(places.shape[:2], dtype=bool)
    sides = []
    for sign in (1, -1):
        x, y = np.moveaxis((places + sign * REACH * normals).astype(np.float32), -1, 0)
        inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
        sides.append(cv2.remap(log, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) if len(lines) else x)
    return np.where(inside, sides[0] - sides[1], 0).astype(np.float64), inside


def _middle(shape: tuple[int, ...]) -> int:
    return 2 * max(shape)


def _along(normals: _Array) -> _Array:
    """Return the directions of lines with these normals ``(..., 2)``."""
    return np.stack([-normals[..., 1], normals[..., 0]], axis=-1)


def _find_quadrilaterals(rows: _Lines, columns: _Lines, shape: tuple[int, ...], factor: float) -> list[Outline]:
    """Return the clearest quadrilaterals that overlap little; ``factor`` is from pixels here to the picture's."""
    quads, top, bottom, left, right = _combine(rows, columns, shape)
    lengths = np.linalg.norm(np.roll(quads, -1, axis=1) - quads, axis=2)
    # (brighter inside, darker inside, inside the picture, steps), (quadrilaterals), (top, right, bottom, left)
    brighter, darker, inside, steps = np.stack(
        [
            _sum_along(rows, top, quads[:, 0], quads[:, 1], 1),
            _sum_along(columns, right, quads[:, 1], quads[:, 2], -1),
            _sum_along(rows, bottom, quads[:, 3], quads[:, 2], -1),
            _sum_along(columns, left, quads[:, 0], quads[:, 3], 1),
        ],
        axis=-1,
    )
    is_seen = inside > 0.3 * lengths
    seen = np.maximum((inside * is_seen).sum(axis=1), 1)
    step = (steps * is_seen).sum(axis=1) / seen
    edged = np.where(step[:, None] > 0, brighter, darker)
    # a side without an edge costs more than one with an edge gains: no quadrilateral is larger than its sheet
    scores = ((edged - 3 * (inside - edged)) * is_seen).sum(axis=1) * abs(step) * is_seen.sum(axis=1)
    share = (edged * is_seen).sum(axis=1) / seen
    scores[(share < EDGED) | (is_seen.sum(axis=1) < MIN_SIDES)] = 0
    result: list[Outline] = []
    for i in np.argsort(-scores)[:50]:
        corners = (quads[i] * factor).astype(np.float32)
        if scores[i] <= 0 or len(result) == MAX_SHEETS:
            break
        if all(_overlap(corners, other.corners) < 0.8 for other in result):
            result.append(Outline(corners, int(is_seen[i].sum()), float(share[i]), float(step[i])))
    return result


def _combine(
    rows: _Lines, columns: _Lines, shape: tuple[int, ...]
) -> tuple[_Array, _Numbers, _Numbers, _Numbers, _Numbers]:
    """Return the corners ``(quadrilaterals, 4, 2)`` of plausible sheets, and the lines on which their sides are."""
    # corners of all rows with all columns (rows, columns, 2), by Cramer's rule
    (a, b, c), (d, e, f) = rows.lines.T[:, :, None], columns.lines.T[:, None, :]
    determinant = a * e - b * d
    determinant = np.where(abs(determinant) < 1e-3, np.nan, determinant)
    crossings = np.stack([c * e - b * f, a * f - c * d], axis=-1) / determinant[..., None]
    row_pairs, column_pairs = (np.array(np.triu_indices(len(lines.lines), 1)) for lines in (rows, columns))
    (top, bottom), (left, right) = (
        np.repeat(row_pairs, column_pairs.shape[1], axis=1),
        np.tile(column_pairs, row_pairs.shape[1]),
    )
    quads = np.stack([crossings[at] for at in ((top, left), (top, right), (bottom, right), (bottom, left))], axis=1)
    ahead, back = np.roll(quads, -1, axis=1) - quads, np.roll(quads, 1, axis=1) - quads
    lengths = np.linalg.norm(ahead, axis=2)
    cosines = (ahead * back).sum(axis=2) / np.maximum(lengths * np.roll(lengths, 1, axis=1), 1e-9)
    turns = ahead[..., 0] * back[..., 1] - ahead[..., 1] * back[..., 0]
    # a rectangle at an angle: convex, all angles between 60 and 120 degrees, neither tiny nor a strip nor far outside
    height, width = shape
    fits = (turns > 0).all(axis=1) & (abs(cosines) < 0.5).all(axis=1)
    fits &= lengths.min(axis=1) > np.maximum(0.1 * max(shape), 0.2 * lengths.max(axis=1))
    fits &= (abs(quads - np.array([width, height]) / 2) < 0.75 * max(shape)).all(axis=(1, 2))
    return quads[fits], top[fits], bottom[fits], left[fits], right[fits]


def _sum_along(lines: _Lines, at: _Numbers, start: _Array, end: _Array, sign: int) -> _Array:
    """Sum what is along sides, all but their ends, in the order of `_find_quadrilaterals`: ``(4, quadrilaterals)``."""
    middle = lines.steps.shape[1] // 2
    direction = _along(lines.lines[at, :2])
    first, last = np.sort([(point * direction).sum(axis=1) for point in (start, end)], axis=0)
    cut = 0.03 * (last - first)
    first, last = (np.rint(place).astype(np.int64) + middle for place in (first + cut, last - cut))
    bright, dark, inside, steps = (
        sums[at, last] - sums[at, first] for sums in (lines.brighter, lines.darker, lines.inside, lines.steps)
    )
    return np.stack([bright, dark, inside, steps] if sign > 0 else [dark, bright, inside, -steps]).astype(np.float64)


def _overlap(corners: Corners, other: Corners) -> float:
    """Return the common area of two quadrilaterals as a share of both together."""
    common, _ = cv2.intersectConvexConvex(corners, other)
    return float(common / max(cv2.contourArea(corners) + cv2.contourArea(other) - common, 1e-6))
