"""Separate ink from its ground: polarity, uneven light, noise, and a sheet of paper in a larger scene."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Grey = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MIN_CONTRAST = 0.06  # between ink and ground, as a share of full contrast; anything fainter is not ink
GROUND_SIDE = 160  # longer side, in pixels, at which the ground is estimated (approximately): light changes slowly
NEIGHBOURS = np.ones((3, 3), dtype=bool)  # 8-connectivity: pixels that share an edge or a corner are connected


@dataclass(frozen=True)
class Box:
    """A bounding box in pixels, half-open like a slice."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return the index of the box in a picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return self.right - self.left

    @property
    def side(self) -> int:
        """Return the longer side in pixels."""
        return max(self.height, self.width)

    @property
    def is_flat(self) -> bool:
        """Return whether the box is much wider than high."""
        return self.height < 0.4 * self.width

    def __or__(self, other: "Box") -> "Box":
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, max(self.bottom, other.bottom), left, max(self.right, other.right))

    def edges(self, shape: tuple[int, ...]) -> int:
        """Count the edges of a picture of this shape that the box touches."""
        return (self.top == 0) + (self.left == 0) + (self.bottom == shape[0]) + (self.right == shape[1])


def remove_salt_and_pepper(grey: Grey) -> Grey:
    """Replace isolated pixels, unlike all but one of their neighbours, by the neighbours' median if there are many."""
    height, width = grey.shape
    padded = np.pad(grey, 1, mode="edge")
    places = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    around = np.stack([padded[i : i + height, j : j + width] for i, j in places])  # (8, height, width)
    middle = np.median(around, axis=0)
    alike = (np.abs(around - grey) < 0.25).sum(axis=0)
    isolated = (alike <= 1) & (np.abs(grey - middle) > 0.3)
    return np.where(isolated, middle, grey).astype(np.float32) if isolated.mean() > 0.02 else grey


def crop_to_sheet(grey: Grey) -> Grey:
    """Cut out the sheet of paper if it lies on a surface of another brightness; else return the picture."""
    small, factor = _shrink(grey, GROUND_SIDE)
    if min(small.shape) < 40:
        return grey
    bright = small > otsu(small)
    for side in (bright, ~bright):
        labels, count = ndimage.label(side)
        if not count:
            continue
        label = int(np.bincount(labels.ravel())[1:].argmax()) + 1
        rows, columns = ndimage.find_objects(labels, label)[-1]
        if Box(rows.start, rows.stop, columns.start, columns.stop).edges(small.shape) > 1:
            continue  # light and shade on one sheet
        sheet = labels[rows, columns] == label
        filled = ndimage.binary_fill_holes(sheet)
        share = filled.sum() / small.size
        # writing covers little of a sheet; the hole of a thick 0 covers much of it
        holes = 1 - sheet.sum() / filled.sum()
        if 0.1 <= share <= 0.9 and min(sheet.shape) > 30 and 0.001 < holes < 0.15 and _is_rectangle(filled):
            inner = ndimage.binary_erosion(filled, NEIGHBOURS, iterations=2).astype(np.uint8)
            part = grey[rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
            size = part.shape[1], part.shape[0]
            on_sheet = np.asarray(Image.fromarray(inner).resize(size, Image.Resampling.NEAREST)) > 0
            return np.where(on_sheet, part, np.median(part[on_sheet])).astype(np.float32)
    return grey


def _is_rectangle(filled: Mask) -> bool:
    """Return whether a shape fills its smallest bounding rectangle, at any angle."""
    edge = np.argwhere(filled & ~ndimage.binary_erosion(filled))
    turns = ((np.cos(angle), np.sin(angle)) for angle in np.radians(np.arange(0, 90, 3)))
    boxes = [np.ptp(edge @ (cos, sin) + 1) * np.ptp(edge @ (-sin, cos) + 1) for cos, sin in turns]
    return bool(filled.sum() > 0.88 * min(boxes))


def otsu(values: npt.NDArray[np.floating]) -> float:
    """Return the threshold that minimises the variance within two classes (Otsu 1979)."""
    if float(np.ptp(values)) < 1e-6:
        return float(values.max())
    counts, edges = np.histogram(values.astype(np.float64), 64)
    middles = (edges[1:] + edges[:-1]) / 2
    below, mass = np.cumsum(counts)[:-1], np.cumsum(counts * middles)
    number, total = counts.sum(), mass[-1]
    between = (total * below / number - mass[:-1]) ** 2 / np.maximum(below * (number - below), 1)
    # across a gap in the histogram the variance is constant: take the middle of the gap
    best = np.flatnonzero(between >= 0.9999 * between.max())
    return float(edges[1 + int(best.mean())])


def polarity(grey: Grey) -> tuple[bool, float | None]:
    """Return whether the ink is lighter than the ground, and the ground's level, or None if the light is uneven."""
    small, _ = _shrink(grey, 96)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    # a small picture is a close crop, with strokes at its edges; a large one has more paper, and shadows
    low, high, share = (30, 70, 0.3) if max(grey.shape) <= 64 else (20, 80, 0.25)
    spread = np.percentile(border, high) - np.percentile(border, low)
    darkest, lightest = np.percentile(small, (0.5, 99.5))
    if spread <= share * float(lightest - darkest):
        level = float(np.median(border))
        return _tails(small - level) > 0, level
    window = max(5, round(0.35 * max(small.shape)))
    local = small - ndimage.median_filter(small, window, mode="nearest")
    return _tails(_subtract_slow_light(small)) + _tails(local) > 0, None


def _tails(residual: npt.NDArray[np.floating]) -> float:
    """Compare the two tails of a distribution: positive if its outliers are lighter than the rest."""
    few = min(8, residual.size)  # so few that a small digit in a large picture counts, more than a single pixel
    ordered = np.sort(residual, axis=None)
    return float(ordered[-few:].mean() + ordered[:few].mean())


def _subtract_slow_light(grey: Grey) -> npt.NDArray[np.float64]:
    """Subtract the best quadratic surface in L1, by iteratively reweighted least squares.

    Pixels on the edge, which are paper more often than not, have three times the weight.
    """
    height, width = grey.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1).reshape(-1, 6)
    trust = np.full((height, width), 3.0)
    trust[1:-1, 1:-1] = 1
    weight, residual = trust.ravel(), grey.ravel().astype(np.float64)
    for _ in range(8):
        weighted = terms * weight[:, None]
        surface = np.linalg.solve(weighted.T @ terms + 1e-6 * np.eye(6), weighted.T @ grey.ravel())
        residual = grey.ravel() - terms @ surface
        weight = trust.ravel() / (np.abs(residual) + 0.01)
    return residual.reshape(height, width)


def measure_ink(grey: Grey, light: bool, level: float | None, widest: float) -> Grey:
    """Measure how far each pixel differs from its ground, relative to the light on it; positive for ink.

    The ground is a morphological closing of the picture (an opening for light ink); ``light`` and ``level`` are what
    `polarity` returns, ``widest`` the width of the widest stroke as a share of the longer side.
    """
    small, _ = _shrink(grey, GROUND_SIDE)
    if min(small.shape) > 40:
        small = ndimage.median_filter(small, 3)
    window = max(5, round(widest * max(small.shape)) | 1)
    framed = np.pad(small, 1, mode="edge")
    if level is not None:
        # end a stroke at the edge of the picture; the padding below would continue it
        rim = np.pad(np.zeros(small.shape, dtype=bool), 1, constant_values=True)
        away = (framed - level) if light else (level - framed)
        framed[rim & (away > 0.3 * away.max())] = level
    framed = np.pad(framed, window, mode="edge")
    morphology = ndimage.grey_opening if light else ndimage.grey_closing
    inner = slice(window + 1, -window - 1)
    ground = ndimage.uniform_filter(morphology(framed, window)[inner, inner], 5)
    ground = np.asarray(Image.fromarray(ground).resize(grey.shape[::-1], Image.Resampling.BILINEAR))
    # ink absorbs a share of the light on the paper: relative to the paper, it is as dark in the shade
    ink: Grey = (grey - ground) / np.maximum(1 - ground, 0.3) if light else (ground - grey) / np.maximum(ground, 0.15)
    return ink


def subtract_paper(ink: Grey) -> tuple[Grey, float]:
    """Subtract the paper's own level; return the ink and the level up to which a pixel may be noise."""
    values = np.sort(ink.ravel()[:: max(1, ink.size // 10_000)])
    # paper is uniform and has little ink: it holds the shortest interval with a quarter of all pixels
    quarter = max(1, len(values) // 4)
    lengths = values[quarter:] - values[:-quarter]
    start = int(lengths[: max(1, len(values) * 3 // 10)].argmin())
    paper = float(values[start + quarter // 2])
    below = values[values <= paper]
    noise = 1.4826 * float(np.median(paper - below))  # from the median absolute deviation to the standard deviation
    return np.maximum(ink - paper, 0), max(4 * noise, MIN_CONTRAST / 2)


def _shrink(grey: Grey, side: int) -> tuple[Grey, int]:
    """Reduce a picture by a whole factor to at most ``side`` pixels; return it and the factor."""
    factor = -(-max(grey.shape) // side)
    return (np.asarray(Image.fromarray(grey).reduce(factor)), factor) if factor > 1 else (grey, 1)
