"""Find the digits in a picture and bring each into MNIST's form.

    grey levels ─▶ sheet ─▶ ink ─▶ parts ─▶ writing ─▶ pieces in lines ─▶ spans: candidates for digits, 28x28

`sheet` takes a sheet of paper out of its surroundings. `ink` says which pixels are ink, `rulings` which of it is
printed, `parts` and `writing` which of the rest is written, `pieces` what belongs together and in which order it is
read, `lines` where it may be cut into digits. `form` brings a digit to MNIST's size and place. None of them knows what
a digit looks like; that is the network's task.
"""

import numpy as np

from mnist_lstm.inference.picture.form import Images, is_mnist
from mnist_lstm.inference.picture.ink import (
    MIN_CONTRAST,
    NARROW,
    SMALL,
    WIDE,
    Grey,
    measure_ink,
    remove_salt_and_pepper,
    shrink,
)
from mnist_lstm.inference.picture.lines import Line, Span, find_lines
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.sheet import Sheet, find_sheets
from mnist_lstm.inference.picture.writing import find_ink

SPECK = 0.15  # share of the writing in the whole picture
FRAGMENTS = 12  # pieces at most

__all__ = ["Images", "Line", "Span", "find_writing", "is_mnist"]


def find_writing(grey: Grey) -> list[Line]:
    """Find the lines of digits in a picture, from the top; none without ink.

    The picture is float32, 0 (black) to 1 (white), with digits dark on light or light on dark.
    """
    if min(grey.shape) < 3 or float(np.ptp(grey)) < MIN_CONTRAST:
        return []
    grey = remove_salt_and_pepper(grey)
    whole = Sheet.of(grey)
    amount, lines = _find_on(whole)
    pieces = sum(line.pieces for line in lines)
    # a large digit in a close crop falls into fragments, or is not found
    if pieces != 1 and pieces <= FRAGMENTS and (crop := _find_in_crop(grey)):
        return crop
    for sheet in find_sheets(grey):
        on_sheet, found = _find_on(sheet)
        # what lies between the strokes of a close crop looks like a sheet as well, with a speck on it
        if on_sheet > SPECK * amount:
            return [line.map_boxes(sheet.locate) for line in found]
    return [line.map_boxes(whole.locate) for line in lines]


def _find_in_crop(grey: Grey) -> list[Line]:
    """Find one digit that fills the picture: at a reduced size, where its strokes are thin and sharp."""
    if max(grey.shape) <= SMALL:
        return []
    small = Sheet.of(shrink(grey, max(grey.shape) / SMALL))
    for light in (False, True):
        ink = measure_ink(small.grey, light)
        parts, labels, ink = find_ink(ink) if ink is not None else ([], None, None)
        if ink is not None and labels is not None and len(parts) == 1 and _fills(parts[0], labels.shape):
            return [line.map_boxes(small.locate) for line in find_lines(parts, labels, ink)]
    return []


def _fills(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part reaches from edge to edge, with dark and sharp strokes much narrower than itself."""
    share = max(part.width / shape[1], part.height / shape[0])
    return share > 0.88 and part.stroke < 0.24 * part.side and part.level > 0.35 and part.sharpness > 0.67


def _find_on(sheet: Sheet) -> tuple[float, list[Line]]:
    """Find the lines on a sheet, in dark or light ink, whichever is more; also return how much it is."""
    best: list[Line] = []
    most, widest = 0.0, 0.0
    for light in (False, True):
        for width in (WIDE, NARROW):
            ink = measure_ink(sheet.grey, light, width)
            if ink is None:
                continue
            parts, labels, ink = find_ink(ink, is_cut_out=sheet.is_cut_out)
            parts = [part for part in parts if part.stroke < 0.8 * width * max(labels.shape)]
            # a narrow filter follows uneven light, but leaves only the outlines of a wide stroke
            is_outline = width == NARROW and widest > 0.3 * NARROW * max(labels.shape)
            amount = _amount(parts)
            if amount > most * (2 if is_outline else 1):
                most, widest = amount, max(part.stroke for part in parts)
                best = find_lines(parts, labels, ink)
    return (most if best else 0.0), best


def _amount(parts: list[Part]) -> float:
    """Return how much writing there is: the length of its strokes, if they are dark, sharp and not bare paper."""
    return sum(part.area / part.stroke * part.level * part.sharpness**2 * part.excess for part in parts)
