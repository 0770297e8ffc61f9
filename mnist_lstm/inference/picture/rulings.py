"""What is printed on the sheet: ruled lines, the grid of squared paper, and the boxes of forms."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.morphology import Labels, Mask, dilate, erode, holes, keep_runs, label

BOX = 0.93  # share of its smallest rectangle that a box fills
SMALL_FRAME, SMALL_BOX = 16, 0.9  # shorter side in pixels, and share of its bounds that it fills: round ones, 0.8
FRAME, EMPTY_FRAME = 0.88, 0.95  # share of its smallest rectangle that the hole of a frame fills; that of an 8, 0.8


def remove_rulings(mask: Mask, faint: Mask) -> Mask:
    """Remove lines, grids and boxes from a mask of ink; lines are looked for in a mask of fainter ink."""
    return _without_lines(mask, faint) & _without_frames(mask) & _without_boxes(mask)


def is_frame(mask: Mask, share: float) -> bool:
    """Return whether a part of the ink has a large hole that fills its smallest rectangle by at least ``share``.

    So does a square of which the corners are ink, as the buttons of a window: too small to tell a straight hole from a
    round one.
    """
    height, width = mask.shape
    if min(height, width) < 6:
        return False
    found = list(holes(np.pad(mask, 1)))
    is_square = 0.8 < width / height < 1.25
    has_corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    if is_square and len(found) == 1 and (has_corners or (min(height, width) < SMALL_FRAME and _is_filled(mask))):
        return bool(cv2.contourArea(found[0][0]) >= 0.25 * mask.size)
    if min(height, width) < 12:
        share = EMPTY_FRAME if is_square else 1.0
    return any(cv2.contourArea(hole) > 0.3 * mask.size and filled > share for hole, filled in found)


def _is_filled(mask: Mask) -> bool:
    """Return whether a part fills its bounds but for its holes and what a blur takes of its corners."""
    filled = np.zeros(mask.shape, np.uint8)
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return float(filled.mean()) > SMALL_BOX


def is_straight(mask: Mask) -> bool:
    """Return whether a part of the ink consists of horizontal and vertical lines nearly as long as itself."""
    height, width = mask.shape
    runs = keep_runs(mask, 1, max(3, round(0.4 * width))) | keep_runs(mask, max(3, round(0.4 * height)), 1)
    return bool(runs.sum() > 0.65 * mask.sum())


def _without_lines(mask: Mask, faint: Mask) -> Mask:
    """Remove straight thin lines from edge to edge."""
    if min(mask.shape) < 40:
        return mask
    across, down = (mask, faint), (np.ascontiguousarray(mask.T), np.ascontiguousarray(faint.T))
    found = [_horizontal_lines(*across), _horizontal_lines(*down)]
    # shadows and strokes break the lines of a sheet; a digit may have one or two such bars, but not three
    is_grid = min(mask.shape) >= 200 and sum(lines.is_broken.sum() for lines in found) >= 3
    level, upright = (lines.draw(ink, is_grid) for lines, (ink, _) in zip(found, (across, down), strict=True))
    rest: Mask = mask & ~level & ~upright.T
    if not is_grid and max(lines.is_whole.sum() for lines in found) == 1:
        # in a close crop, the bar of a 7 or the foot of a 2 runs from edge to edge as well
        _, boxes = label(rest)
        if (boxes[1:, 2] > 0.7 * mask.shape[1]).any() or (boxes[1:, 3] > 0.7 * mask.shape[0]).any():
            return mask
    return rest


class _Lines(NamedTuple):
    """Horizontal bars in a mask: the labelled picture, and of each label, which line it may be, and how thick it is."""

    labels: Labels
    thickness: npt.NDArray[np.float64]
    is_whole: npt.NDArray[np.bool_]
    is_broken: npt.NDArray[np.bool_]

    def draw(self, mask: Mask, is_grid: bool) -> Mask:
        """Return the pixels of whole lines, in a grid of broken ones too, without strokes that cross them."""
        is_line = self.is_whole | self.is_broken if is_grid else self.is_whole
        if not is_line.any():
            return np.zeros_like(mask)
        # where a stroke crosses a line, the ink is taller than the line
        crossing = keep_runs(mask, int(2 * np.median(self.thickness[is_line])) + 1, 1)
        return dilate(is_line[self.labels], 3, 1) & mask & ~crossing


def _horizontal_lines(mask: Mask, faint: Mask) -> _Lines:
    """Find lines, also slightly tilted ones."""
    height, width = mask.shape
    length = max(8, round(0.15 * width))
    # a tilted line moves up or down: widen the ink by a pixel on either side
    framed = np.pad(dilate(faint, 3, 1), ((0, 0), (length, length)), mode="edge")
    labels, boxes = label(keep_runs(framed, 1, length)[:, length:-length])
    lengths = np.maximum(boxes[:, 2], 1)  # a mask that is full has no background
    thickness = boxes[:, 4] / lengths
    is_whole = (thickness <= max(6, 0.08 * height)) & (lengths >= 0.9 * width)
    is_broken = (thickness <= max(5, 0.012 * height)) & (lengths >= 0.4 * width)
    if width < 0.4 * height:  # in a strip of digits, strokes are as long as the strip is high
        is_whole, is_broken = np.zeros_like(is_whole), np.zeros_like(is_broken)
    is_whole[0] = is_broken[0] = False
    return _Lines(labels, thickness, is_whole, is_broken)


def _without_boxes(mask: Mask) -> Mask:
    """Remove the rim of strictly rectangular parts that hold something high, which may touch it."""
    ink = np.pad(mask, 1)
    rest = ink.copy()
    outlines, _ = cv2.findContours(ink.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        if not max(12, 0.02 * max(mask.shape)) <= min(width, height) < 0.5 * min(mask.shape):  # a grid is larger
            continue
        _, (long, short), _ = cv2.minAreaRect(outline)
        if cv2.contourArea(outline) < BOX * long * short:
            continue
        window = slice(top - 1, top + height + 1), slice(left - 1, left + width + 1)
        filled = np.zeros(ink[window].shape, np.uint8)
        cv2.drawContours(filled, [outline], -1, 1, cv2.FILLED, offset=(1 - left, 1 - top))
        inside = _inside(filled.view(np.bool_), ink[window])
        rows = np.flatnonzero((ink[window] & inside).any(axis=1))
        if rows.size and rows[-1] - rows[0] >= 0.4 * height:
            rest[window] &= inside | ~filled.view(np.bool_)
    return rest[1:-1, 1:-1]


def _inside(filled: Mask, ink: Mask) -> Mask:
    """Return what is inside the rim of a filled part; nothing if the rim is wider than a frame."""
    for _ in range(round(0.2 * min(filled.shape))):
        inner = erode(filled, 3, 3)
        shell = filled & ~inner
        filled = inner
        if (ink & shell).sum() < 0.6 * shell.sum():
            return filled
    return np.zeros_like(filled)


def _without_frames(mask: Mask) -> Mask:
    """Remove the ink around rectangular holes that hold something, and around strictly rectangular ones."""
    ink = np.pad(mask, 1)
    rest = ink.copy()
    for hole, share in holes(ink):
        left, top, width, height = cv2.boundingRect(hole)
        if share < FRAME or min(width, height) < max(12, 0.02 * max(mask.shape)):
            continue
        reach = max(2, round(0.15 * min(width, height)))
        window = slice(max(0, top - reach), top + height + reach), slice(max(0, left - reach), left + width + reach)
        filled = np.zeros(ink[window].shape, np.uint8)
        cv2.drawContours(filled, [hole], -1, 1, cv2.FILLED, offset=(-window[1].start, -window[0].start))
        area = filled.view(np.bool_)
        inner = erode(area, 5, 5)
        if share >= EMPTY_FRAME or (ink[window] & inner).sum() >= 0.01 * inner.sum():
            rest[window] &= inner | ~_with_frame(area, ink[window], reach)
    return rest[1:-1, 1:-1]


def _with_frame(hole: Mask, ink: Mask, reach: int) -> Mask:
    """Grow a hole over the frame around it, until at most half of the next pixels are ink."""
    grown = erode(hole, 3, 3)
    for _ in range(reach):
        shell = dilate(grown, 3, 3) & ~grown
        grown = grown | shell
        is_beyond = (shell & ~hole).sum() > 0.9 * shell.sum()
        if is_beyond and (ink & shell).sum() < 0.5 * shell.sum():
            break
    return grown
