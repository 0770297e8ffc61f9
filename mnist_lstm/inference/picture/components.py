"""Group connected parts of the ink into digits; drop lines, frames, specks and grain."""

import functools
import itertools
import math
import operator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mnist_lstm.inference.picture.ground import GROUND_SIDE, MIN_CONTRAST, NEIGHBOURS, Box, Grey, Mask, otsu

MAX_PARTS = 40  # only this many of the largest parts are considered: noise falls into thousands


@dataclass(frozen=True)
class Digit:
    """One or several connected parts of a picture that make a digit."""

    box: Box
    area: int  # number of pixels
    labels: tuple[int, ...]  # values of `picture` that belong to the digit
    picture: npt.NDArray[np.int32]  # (height, width), the labelled parts of the whole picture

    def __or__(self, other: "Digit") -> "Digit":
        return Digit(self.box | other.box, self.area + other.area, self.labels + other.labels, self.picture)

    @cached_property
    def mask(self) -> Mask:
        """Return the digit's pixels in its box."""
        return np.isin(self.picture[self.box.slices], self.labels)

    def cut(self, ink: Grey) -> Grey:
        """Cut out the digit's ink with the soft edges of its strokes and without its neighbours: 0 to 1."""
        soft, box = 2, self.box
        around = Box(max(0, box.top - soft), box.bottom + soft, max(0, box.left - soft), box.right + soft).slices
        core = np.isin(self.picture[around], self.labels)
        cut = np.where(ndimage.binary_dilation(core, NEIGHBOURS, iterations=soft), ink[around], 0)
        full = np.percentile(cut[core], 70)
        strength: Grey = np.clip((cut / full - 0.08) / 0.92, 0, 1).astype(np.float32)
        return strength


def segment(ink: Grey, floor: float) -> list[Digit]:
    """Find the digits in the ink from left to right, at the best of three thresholds; see `subtract_paper`."""
    inked = ink[ink > floor]
    if inked.size < 4 or ink.max() < MIN_CONTRAST:
        return []
    high = max(floor, otsu(inked))
    best = _segment_at(ink, high)
    for threshold in (max(floor, 0.5 * high), floor):
        other = _segment_at(ink, threshold)
        if not best or not other:
            best = best or other
            continue
        before, after = (functools.reduce(operator.or_, digits) for digits in (best, other))
        # the higher threshold found a few dark specks beside a faint digit
        only_specks = before.box.height < 0.35 * after.box.height
        # the lower threshold fills faint places in a stroke and adds nothing foreign
        more_of_it = len(other) <= len(best) and after.area >= before.area and after.box.side <= 1.25 * before.box.side
        if only_specks or (more_of_it and threshold > floor):
            best = other
    return best


def _segment_at(ink: Grey, threshold: float) -> list[Digit]:
    labels, count = ndimage.label(_remove_lines(ink > threshold), NEIGHBOURS)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    parts = [
        Digit(Box(rows.start, rows.stop, columns.start, columns.stop), int(areas[index]), (index,), labels)
        for index, (rows, columns) in enumerate(ndimage.find_objects(labels), 1)
    ]
    return _group(parts, ink.shape)


def is_writing(digits: list[Digit], ink: Grey, floor: float, even: bool) -> bool:
    """Distinguish writing from the grain and shadows of an empty sheet.

    Writing is dark, large, and a fair share of all the ink there is. ``even``: whether the light on the ground is.
    """
    written = np.zeros(ink.shape, dtype=bool)
    for digit in digits:
        written[digit.box.slices] |= digit.mask
    level = float(np.median(ink[written]))
    if level < MIN_CONTRAST or level < 1.25 * floor:
        return False
    if not even and max(ink.shape) >= GROUND_SIDE and all(digit.box.edges(ink.shape) >= 2 for digit in digits):
        return False  # the edge of a shadow or the rest of a grid; in a small picture, a close crop
    share = written.sum() / (ink > level / 2).sum()
    if level > 3 * floor:
        return bool(share >= 0.1)
    # faint writing must stand out from everything else in the picture
    elsewhere = ink[~ndimage.binary_dilation(written, NEIGHBOURS, iterations=max(2, min(ink.shape) // 40))]
    clutter = np.percentile(elsewhere, 99) / level if elsewhere.size else 0
    side = max(digit.box.side for digit in digits)
    return bool(share >= 0.2 and clutter <= 0.65 and side >= 0.1 * max(ink.shape))


def _remove_lines(mask: Mask) -> Mask:
    """Remove straight thin lines from edge to edge: ruled lines and the grid of squared paper."""
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
    """Find lines, also slightly tilted ones; return their pixels, without crossing strokes, and their number."""
    height, width = mask.shape
    length = max(8, round(0.15 * width))
    # a tilted line moves up or down: widen the ink by a pixel on either side
    thick = ndimage.binary_dilation(mask, np.ones((3, 1), dtype=bool))
    framed = np.pad(thick, ((0, 0), (length, length)), mode="edge")
    runs = ndimage.binary_opening(framed, np.ones((1, length), dtype=bool))[:, length:-length]
    labels, _ = ndimage.label(runs, NEIGHBOURS)
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
    # where a stroke crosses a line, the ink is taller than the line
    tall = ndimage.binary_opening(mask, np.ones((int(2 * np.median(thickness)) + 1, 1), dtype=bool))
    return lines & ~tall, len(thickness)


def _group(parts: list[Digit], shape: tuple[int, ...]) -> list[Digit]:
    """Merge the parts of each digit, drop everything else, and sort the digits from left to right."""
    inside = [
        part
        for part in parts
        if part.box.edges(shape) < 3 and not (part.box.edges(shape) and part.box.side > 6 * part.area / part.box.side)
    ]
    if any(part.box.side >= 0.12 * max(shape) for part in inside):
        parts = inside
    parts = [p for p in parts if not (_is_frame(p) and any(_encloses(p.box, other.box) for other in parts))]
    if not parts:
        return []

    main = max(parts, key=lambda part: part.box.side * math.sqrt(part.area) * (0.4 if part.box.edges(shape) else 1))

    def counts(part: Digit) -> bool:
        box = part.box
        speck = part.area < 0.02 * main.area and box.side < 0.2 * main.box.side
        cut_off = box.edges(shape) > 0 and box.side < 0.6 * main.box.side
        underline = box.is_flat and box.top > main.box.bottom - 0.05 * main.box.height
        return not (speck or cut_off or underline)

    digits = [part for part in parts if part is main or counts(part)]
    digits = sorted(digits, key=lambda part: part.area, reverse=True)[:MAX_PARTS]
    while pair := next((p for p in itertools.combinations(digits, 2) if _same_digit(p[0].box, p[1].box)), None):
        digits = [digit for digit in digits if digit not in pair] + [pair[0] | pair[1]]
    tallest, largest = max(digit.box.height for digit in digits), max(digit.area for digit in digits)
    side = max(digit.box.side for digit in digits)
    digits = [
        digit
        for digit in digits
        if main.labels[0] in digit.labels
        or (digit.box.side >= 0.5 * side and digit.box.height >= 0.45 * tallest and digit.area >= 0.15 * largest)
    ]
    return sorted(digits, key=lambda digit: digit.box.left)


def _encloses(outer: Box, inner: Box) -> bool:
    inside = outer.top < inner.top < inner.bottom < outer.bottom and outer.left < inner.left < inner.right < outer.right
    return inside and inner.height > 0.2 * outer.height


def _is_frame(part: Digit) -> bool:
    """Return whether a part is a frame, as on forms: ink along all four sides of its bounding box."""
    if min(part.box.height, part.box.width) < 16 or part.area > 0.5 * part.mask.size:
        return False
    quarters = (np.rot90(part.mask, turn) for turn in range(4))
    return all(side[: max(1, round(0.1 * len(side)))].any(axis=0).mean() > 0.93 for side in quarters)


def _same_digit(a: Box, b: Box) -> bool:
    """Return whether two parts are strokes of the same digit."""
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
