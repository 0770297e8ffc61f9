"""Grey levels in, MNIST images out: find the ink on its ground, the digits in the ink, and lay each out as MNIST does.

    grey ─▶ ink on its ground ─▶ threshold ─▶ connected parts ─▶ digits ─▶ 20-pixel box, centre of mass in the middle

Nothing here knows what a digit looks like; that is the network's business. What is known is how people write: strokes
are narrow, the paper is the greater part, its light changes slowly or at the edge of a shadow, and what lies along the
edge of a picture seldom belongs to the digit.
"""

import functools
import math
import operator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from mnist_lstm.mnist_format import BOX, SIZE, place

Grey = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MIN_CONTRAST = 0.06
"""Ink that differs less than this from its ground, as a share of full contrast, is no ink."""

GROUND_SIDE = 160
"""The ground is estimated on a picture of at most about this many pixels: light changes slowly."""

WIDEST_STROKE = 0.4
"""Nothing wider than this share of the picture's longer side is a stroke."""

THINNEST, THICKEST = 1.25, 5.0
"""Stroke widths, in pixels of the 20-pixel box, between which nearly all of MNIST lies; others are brought there."""

_TOUCHING = np.ones((3, 3), dtype=bool)


def is_mnist(images: Images) -> Mask:
    """Tell which images have MNIST's form already: black ground, 20-pixel box, centre of mass in the middle.

    In all of MNIST the longer side is 19 or 20 pixels and the centre of mass at 13.5 to 14.5; a little more is
    allowed here.

    Args:
        images: uint8 array ``(N, 28, 28)``.

    Returns:
        bool array ``(N,)``.
    """
    flat = images.reshape(len(images), -1)
    rows, columns = (images.sum(axis=axis, dtype=np.float32) for axis in (2, 1))  # (N, 28)
    height, width = (SIZE - at[:, ::-1].argmax(axis=1) - at.argmax(axis=1) for at in (rows > 0, columns > 0))
    side = np.maximum(height, width)
    mass = rows.sum(axis=1)
    pixel = np.arange(SIZE, dtype=np.float32)
    # no matrix product: NumPy's threads for these would be in the way of PyTorch's
    y, x = ((at * pixel).sum(axis=1) / np.maximum(mass, 1) for at in (rows, columns))
    centred = (abs(y - SIZE / 2) <= 1.25) & (abs(x - SIZE / 2) <= 1.25)
    # an inverted image has ink everywhere, an empty one nowhere
    inked = (mass > 0) & (flat.max(axis=1) > 127) & (np.count_nonzero(flat, axis=1) < 0.6 * SIZE**2)
    result: Mask = inked & centred & (side >= BOX - 2) & (side <= BOX + 1)
    return result


def find_digits(grey: Grey) -> list[Images]:
    """Find the digits in a picture, from left to right, each laid out as an MNIST image.

    Args:
        grey: float32 array ``(height, width)``, 0 (black) to 1 (white); digits dark on light or light on dark.

    Returns:
        One uint8 array ``(28, 28)`` a digit; none if there is no ink.
    """
    if min(grey.shape) < 3 or float(np.ptp(grey)) < MIN_CONTRAST / 2:
        return []
    grey = _without_salt_and_pepper(_inside_of_sheet(grey))
    light, level = _polarity(grey)
    # where the light is uneven, the narrower filter follows it better, if it does not swallow the strokes
    for widest in (0.15, WIDEST_STROKE) if level is None and max(grey.shape) >= GROUND_SIDE else (WIDEST_STROKE,):
        ink, floor = _above_noise(_ink(grey, light, level, widest))
        digits = _pick(ink, floor)
        if digits and _stroke_width(digits[0].mask) < 0.5 * widest * max(grey.shape):
            break
    if not digits or not _is_writing(digits, ink, floor, level is not None):
        return []
    return [_lay_out(digit.cut(ink)) for digit in digits]


# ink and ground


def _shrink(grey: Grey, side: int) -> tuple[Grey, int]:
    factor = -(-max(grey.shape) // side)
    return (np.asarray(Image.fromarray(grey).reduce(factor)), factor) if factor > 1 else (grey, 1)


def _enlarge(small: Grey, shape: tuple[int, ...]) -> Grey:
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _border(grey: Grey) -> Grey:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _contrast(grey: Grey) -> float:
    low, high = np.percentile(grey, (0.5, 99.5))
    return float(high - low)


def _tails(residual: npt.NDArray[np.floating]) -> float:
    """Tell which tail is longer: positive if what stands out is lighter than the rest."""
    few = min(8, residual.size)  # pixels, also of a small digit in a large picture, but not a single one
    ordered = np.sort(residual, axis=None)
    return float(ordered[-few:].mean() + ordered[:few].mean())


def _polarity(grey: Grey) -> tuple[bool, float | None]:
    """Tell whether the ink is lighter than the ground, and the ground's level if the light is even, else None."""
    small, _ = _shrink(grey, 96)
    border = _border(small)
    # a small picture is a close crop, with strokes at its edges; a large one has more paper, and shadows
    low, high, share = (30, 70, 0.3) if max(grey.shape) <= 64 else (20, 80, 0.25)
    spread = np.percentile(border, high) - np.percentile(border, low)
    if spread <= share * _contrast(small):
        level = float(np.median(border))
        return _tails(small - level) > 0, level
    window = max(5, round(0.35 * max(small.shape)))
    local = small - ndimage.median_filter(small, window, mode="nearest")
    return _tails(_minus_slow_light(small)) + _tails(local) > 0, None


def _minus_slow_light(grey: Grey) -> npt.NDArray[np.float64]:
    """Subtract the quadratic surface that fits the picture best, by reweighted least squares (that is, in L1).

    The edge counts thrice: it is paper more often than not.
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


def _ink(grey: Grey, light: bool, level: float | None, widest: float) -> Grey:
    """Measure how far each pixel is from its ground, which morphological closing (opening, for light ink) finds."""
    small, _ = _shrink(grey, GROUND_SIDE)
    if min(small.shape) > 40:
        small = ndimage.median_filter(small, 3)
    window = max(5, round(widest * max(small.shape)) | 1)
    framed = np.pad(small, 1, mode="edge")
    if level is not None:
        # a stroke that touches the edge of the picture ends there; else it would go on for ever
        rim = np.pad(np.zeros(small.shape, dtype=bool), 1, constant_values=True)
        away = (framed - level) if light else (level - framed)
        framed[rim & (away > 0.3 * away.max())] = level
    framed = np.pad(framed, window, mode="edge")
    if light:
        ground = ndimage.maximum_filter(ndimage.minimum_filter(framed, window), window)
    else:
        ground = ndimage.minimum_filter(ndimage.maximum_filter(framed, window), window)
    inner = slice(window + 1, -window - 1)
    ground = ndimage.uniform_filter(ground[inner, inner], 5)
    if ground.shape != grey.shape:
        ground = _enlarge(ground, grey.shape)
    # ink takes a share of the light that falls on the paper, so that it is as dark in the shade, relative to it
    ink: Grey = (grey - ground) / np.maximum(1 - ground, 0.3) if light else (ground - grey) / np.maximum(ground, 0.15)
    return ink


def _above_noise(ink: Grey) -> tuple[Grey, float]:
    """Subtract the paper's own level; return the ink, and the level below which there may be noise."""
    values = np.sort(ink.ravel()[:: max(1, ink.size // 10_000)])
    # the shortest interval that holds a quarter of the pixels lies in the paper, which is among the least inked
    quarter = max(1, len(values) // 4)
    lengths = values[quarter:] - values[:-quarter]
    start = int(lengths[: max(1, len(values) * 3 // 10)].argmin())
    paper = float(values[start + quarter // 2])
    below = values[values <= paper]
    noise = 1.4826 * float(np.median(paper - below))  # from the median absolute deviation to the standard deviation
    return np.maximum(ink - paper, 0), max(4 * noise, MIN_CONTRAST / 2)


def _is_writing(digits: list["_Digit"], ink: Grey, floor: float, even: bool) -> bool:
    """Tell writing from grain and shadows of an empty sheet: it is dark, large, and most of the ink there is."""
    written = np.zeros(ink.shape, dtype=bool)
    for digit in digits:
        box = digit.box
        written[box.top : box.bottom, box.left : box.right] |= digit.mask
    level = float(np.median(ink[written]))
    if level < MIN_CONTRAST or level < 1.25 * floor:
        return False
    if not even and max(ink.shape) >= GROUND_SIDE and all(digit.box.edges(ink.shape) >= 2 for digit in digits):
        return False  # the edge of a shadow, or what is left of a grid; in a small picture, a close crop
    share = written.sum() / (ink > level / 2).sum()
    if level > 3 * floor:
        return bool(share >= 0.1)
    # faint: it must stand out from what else there is
    elsewhere = ink[~ndimage.binary_dilation(written, _TOUCHING, iterations=max(2, min(ink.shape) // 40))]
    clutter = np.percentile(elsewhere, 99) / level if elsewhere.size else 0
    side = max(digit.box.side for digit in digits)
    return bool(share >= 0.2 and clutter <= 0.65 and side >= 0.1 * max(ink.shape))


def _without_salt_and_pepper(grey: Grey) -> Grey:
    """Replace pixels that none of their neighbours resembles by the neighbours' median, if there are many."""
    height, width = grey.shape
    padded = np.pad(grey, 1, mode="edge")
    around = np.stack(
        [padded[i : i + height, j : j + width] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    )  # (8, height, width)
    middle = np.median(around, axis=0)
    alike = (np.abs(around - grey) < 0.25).sum(axis=0)
    alone = (alike <= 1) & (np.abs(grey - middle) > 0.3)
    return np.where(alone, middle, grey).astype(np.float32) if alone.mean() > 0.02 else grey


def _inside_of_sheet(grey: Grey) -> Grey:
    """Cut out the sheet of paper, if the picture shows one lying on something of another brightness."""
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
        if _Box(rows.start, rows.stop, columns.start, columns.stop).edges(small.shape) > 1:
            continue  # light and shade on one sheet
        box = rows, columns
        sheet = labels[box] == label
        filled = ndimage.binary_fill_holes(sheet)
        share = filled.sum() / small.size
        # writing covers little of a sheet; the hole of a thick 0 covers much of it
        holes = 1 - sheet.sum() / filled.sum()
        if 0.1 <= share <= 0.9 and min(sheet.shape) > 30 and 0.001 < holes < 0.15 and _is_rectangle(filled):
            inner = ndimage.binary_erosion(filled, _TOUCHING, iterations=2).astype(np.uint8)
            part = grey[rows.start * factor : rows.stop * factor, columns.start * factor : columns.stop * factor]
            size = part.shape[1], part.shape[0]
            on_sheet = np.asarray(Image.fromarray(inner).resize(size, Image.Resampling.NEAREST)) > 0
            return np.where(on_sheet, part, np.median(part[on_sheet])).astype(np.float32)
    return grey


def _is_rectangle(filled: Mask) -> bool:
    """Tell whether a shape fills the smallest rectangle around it, however that is turned."""
    edge = np.argwhere(filled & ~ndimage.binary_erosion(filled))
    angles = np.radians(np.arange(0, 90, 3))
    boxes = [
        np.ptp(edge @ (np.cos(angle), np.sin(angle)) + 1) * np.ptp(edge @ (-np.sin(angle), np.cos(angle)) + 1)
        for angle in angles
    ]
    return bool(filled.sum() > 0.88 * min(boxes))


def otsu(values: npt.NDArray[np.floating]) -> float:
    """Return the threshold between two classes that leaves the least variance within them (Otsu 1979)."""
    if float(np.ptp(values)) < 1e-6:
        return float(values.max())
    counts, edges = np.histogram(values.astype(np.float64), 64)
    middles = (edges[1:] + edges[:-1]) / 2
    below, mass = np.cumsum(counts)[:-1], np.cumsum(counts * middles)
    number, total = counts.sum(), mass[-1]
    between = (total * below / number - mass[:-1]) ** 2 / np.maximum(below * (number - below), 1)
    # over a gap in the histogram it is flat: take the gap's middle
    best = np.flatnonzero(between >= 0.9999 * between.max())
    return float(edges[1 + int(best.mean())])


# parts and digits


@dataclass(frozen=True)
class _Box:
    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def side(self) -> int:
        return max(self.height, self.width)

    @property
    def is_flat(self) -> bool:
        return self.height < 0.4 * self.width

    def __or__(self, other: "_Box") -> "_Box":
        return _Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def edges(self, shape: tuple[int, ...]) -> int:
        """Count the edges of the picture that it touches."""
        return (self.top == 0) + (self.left == 0) + (self.bottom == shape[0]) + (self.right == shape[1])


@dataclass(frozen=True)
class _Digit:
    """One or several parts of the picture that make a digit."""

    box: _Box
    area: int
    labels: tuple[int, ...]
    picture: npt.NDArray[np.int32]

    def __or__(self, other: "_Digit") -> "_Digit":
        return _Digit(self.box | other.box, self.area + other.area, self.labels + other.labels, self.picture)

    @cached_property
    def mask(self) -> Mask:
        box = self.box
        return np.isin(self.picture[box.top : box.bottom, box.left : box.right], self.labels)

    def cut(self, ink: Grey) -> Grey:
        """Cut the digit's ink out, with the soft edges of its strokes and nothing beside: 0 to 1."""
        soft = 2
        box = self.box
        top, left = max(0, box.top - soft), max(0, box.left - soft)
        rows, columns = slice(top, box.bottom + soft), slice(left, box.right + soft)
        core = np.isin(self.picture[rows, columns], self.labels)
        cut = np.where(ndimage.binary_dilation(core, _TOUCHING, iterations=soft), ink[rows, columns], 0)
        full = np.percentile(cut[core], 70)
        strength: Grey = np.clip((cut / full - 0.08) / 0.92, 0, 1).astype(np.float32)
        return strength


def _pick(ink: Grey, floor: float) -> list[_Digit]:
    """Find the digits at the threshold that serves best."""
    inked = ink[ink > floor]
    if inked.size < 4 or ink.max() < MIN_CONTRAST:
        return []
    high = max(floor, otsu(inked))
    best = _digits_at(ink, high)
    for threshold in (max(floor, 0.5 * high), floor):
        other = _digits_at(ink, threshold)
        if not other:
            continue
        if not best:
            best = other
            continue
        before, after = (functools.reduce(operator.or_, digits) for digits in (best, other))
        # a few dark specks beside a faint digit were found first
        only_specks = before.box.height < 0.35 * after.box.height
        # faint places in a stroke had been left out, and nothing foreign comes in with them
        more_of_it = len(other) <= len(best) and after.area >= before.area and after.box.side <= 1.25 * before.box.side
        if only_specks or (more_of_it and threshold > floor):
            best = other
    return best


def _digits_at(ink: Grey, threshold: float) -> list[_Digit]:
    labels, count = ndimage.label(_without_lines(ink > threshold), _TOUCHING)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    parts = [
        _Digit(_Box(rows.start, rows.stop, columns.start, columns.stop), int(areas[index]), (index,), labels)
        for index, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
    ]
    return _group(parts, ink.shape)


def _without_lines(mask: Mask) -> Mask:
    """Take out what runs straight and thin from edge to edge: ruled lines and the grid of squared paper."""
    if min(mask.shape) < 40:
        return mask
    level, rows = _horizontal_lines(mask)
    upright, columns = _horizontal_lines(mask.T)
    rest: Mask = mask & ~level & ~upright.T
    if max(rows, columns) == 1:
        # in a close crop, the bar of a 7 or the foot of a 2 runs from edge to edge as well
        inked = [np.flatnonzero(rest.sum(axis=axis) > 1) for axis in (1, 0)]
        if any(at.size and np.ptp(at) > 0.7 * side for at, side in zip(inked, mask.shape, strict=True)):
            return mask
    return rest


def _horizontal_lines(mask: Mask) -> tuple[Mask, int]:
    """Find lines that may be tilted a little; return their pixels, without strokes that cross, and their number."""
    height, width = mask.shape
    length = max(8, round(0.15 * width))
    # widened by a pixel on either side for the tilt
    thick = ndimage.binary_dilation(mask, np.ones((3, 1), dtype=bool))
    framed = np.pad(thick, ((0, 0), (length, length)), mode="edge")
    runs = ndimage.binary_opening(framed, np.ones((1, length), dtype=bool))[:, length:-length]
    labels, _ = ndimage.label(runs, _TOUCHING)
    lines = np.zeros_like(mask)
    thickness = []
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        line = labels[box] == index
        if line.shape[1] >= 0.9 * width and line.sum() / line.shape[1] <= max(6, 0.08 * height):
            lines[box] |= line
            thickness.append(line.sum() / line.shape[1])
    if not thickness:
        return lines, 0
    lines = ndimage.binary_dilation(lines, np.ones((3, 1), dtype=bool)) & mask
    # a stroke that crosses a line is taller there than the line
    tall = ndimage.binary_opening(mask, np.ones((int(2 * np.median(thickness)) + 1, 1), dtype=bool))
    return lines & ~tall, len(thickness)


def _group(parts: list[_Digit], shape: tuple[int, ...]) -> list[_Digit]:
    """Put parts together that make one digit, leave out what is none, and order the digits from left to right."""
    inside = [
        part
        for part in parts
        if part.box.edges(shape) < 3 and not (part.box.edges(shape) and part.box.side > 6 * part.area / part.box.side)
    ]
    if any(part.box.side >= 0.12 * max(shape) for part in inside):
        parts = inside
    frames = [part for part in parts if _is_frame(part) and any(_encloses(part.box, other.box) for other in parts)]
    parts = [part for part in parts if part not in frames]
    if not parts:
        return []

    def weight(part: _Digit) -> float:
        return part.box.side * math.sqrt(part.area) * (0.4 if part.box.edges(shape) else 1)

    main = max(parts, key=weight)

    def counts(part: _Digit) -> bool:
        box = part.box
        speck = part.area < 0.02 * main.area and box.side < 0.2 * main.box.side
        cut_off = box.edges(shape) > 0 and box.side < 0.6 * main.box.side
        underline = box.is_flat and box.top > main.box.bottom - 0.05 * main.box.height
        return not (speck or cut_off or underline)

    digits = [part for part in parts if part is main or counts(part)]
    digits = sorted(digits, key=lambda part: part.area, reverse=True)[:MAX_PARTS]
    merged = True
    while merged:
        merged = False
        for i, one in enumerate(digits):
            partner = next((other for other in digits[i + 1 :] if _are_one(one.box, other.box)), None)
            if partner is not None:
                digits = [digit for digit in digits if digit not in (one, partner)] + [one | partner]
                merged = True
                break
    tallest, largest = max(digit.box.height for digit in digits), max(digit.area for digit in digits)
    side = max(digit.box.side for digit in digits)
    digits = [
        digit
        for digit in digits
        if main.labels[0] in digit.labels
        or (digit.box.side >= 0.5 * side and digit.box.height >= 0.45 * tallest and digit.area >= 0.15 * largest)
    ]
    return sorted(digits, key=lambda digit: digit.box.left)


def _encloses(outer: _Box, inner: _Box) -> bool:
    inside = outer.top < inner.top and inner.bottom < outer.bottom
    inside = inside and outer.left < inner.left and inner.right < outer.right
    return inside and inner.height > 0.2 * outer.height


def _is_frame(part: _Digit) -> bool:
    """Tell whether a part is a box as forms have it: its ink runs along all four sides of its bounding box."""
    mask, height, width = part.mask, part.box.height, part.box.width
    if min(height, width) < 16 or part.area > 0.5 * height * width:
        return False
    rows, columns = max(1, round(0.1 * height)), max(1, round(0.1 * width))
    sides = (
        mask[:rows].any(axis=0),
        mask[-rows:].any(axis=0),
        mask[:, :columns].any(axis=1),
        mask[:, -columns:].any(axis=1),
    )
    return all(side.mean() > 0.93 for side in sides)


MAX_PARTS = 40
"""The largest parts of a picture are looked at, no more: noise falls into thousands."""


def _are_one(a: _Box, b: _Box) -> bool:
    """Tell whether two parts are strokes of the same digit."""
    both = a | b
    apart_y, apart_x = max(a.top, b.top) - min(a.bottom, b.bottom), max(a.left, b.left) - min(a.right, b.right)
    gap = math.hypot(max(apart_y, 0), max(apart_x, 0))
    if min(a.side, b.side) < 0.5 * max(a.side, b.side) or a.is_flat or b.is_flat:
        return gap < 0.25 * max(a.side, b.side)  # a stroke beside a digit
    if -apart_x > 0.3 * min(a.width, b.width):  # one above the other: halves are wide, digits are tall
        halves = a.height < 1.1 * a.width or b.height < 1.1 * b.width
        return apart_y < (0.2 if halves else 0.1) * both.height
    side_by_side = -apart_y >= 0.5 * min(a.height, b.height)
    return gap < (0.12 if side_by_side else 0.2) * both.height and both.width < both.height


# layout


def _stroke_width(mask: Mask) -> float:
    """Measure the usual width of the strokes: twice the distance from their middle line to the paper."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    ridge = (distance > 0) & (distance == ndimage.maximum_filter(distance, 3))
    return 2 * float(np.median(distance[ridge])) - 1


def _lay_out(ink: Grey) -> Images:
    """Bring a digit's ink, 0 to 1, to MNIST's size, stroke width and place."""
    fine = 4  # pixels of the fine grid, on which strokes are measured and redrawn, a pixel of the result
    height, width = ink.shape
    scale = fine * BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = np.pad(np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)), 3 * fine)
    # a hair line is spread thin when it is reduced
    drawn = drawn / min(1.0, max(0.05, float(np.percentile(drawn[drawn > 0.04], 80)))) if drawn.max() > 0.04 else drawn
    mask = drawn > 0.5
    if mask.any():
        stroke = _stroke_width(mask) / fine
        wanted = min(max(stroke, THINNEST), THICKEST)
        if stroke != wanted:
            outside, inside = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
            edge = outside - inside + np.where(mask, 0.5, -0.5)  # distance to the stroke's edge, negative within
            drawn = 0.5 + ((wanted - stroke) / 2 * fine - edge) / fine
    drawn = np.clip(drawn, 0, 1)
    return place(np.rint(255 * np.where(drawn < 0.06, 0, drawn)).astype(np.uint8))
