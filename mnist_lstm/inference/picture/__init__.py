"""Find the digits in a picture and bring each into MNIST's form.

    grey levels ─▶ sheet ─▶ ink ─▶ parts ─▶ writing ─▶ pieces in lines ─▶ spans: candidates for digits, 28x28

`corners` finds the edges of a sheet of paper, and `sheet` takes it out of its surroundings. `ink` says which pixels are
ink, `rulings` which of it is printed, `parts` and `writing` which of the rest is written: a `Finding`. `pieces` says
what belongs together, `order` in which order it is read, `lines` where it may be cut into digits. `form` brings a digit
to MNIST's size and place. None of them knows what a digit looks like; that is the network's task. So there are several
findings, such as light ink instead of dark, a sheet instead of the whole picture, or `two_tones`: the network chooses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mnist_lstm.inference.picture.finding import Finding
from mnist_lstm.inference.picture.form import Images, is_mnist
from mnist_lstm.inference.picture.ink import (
    MIN_CONTRAST,
    NARROW,
    SMALL,
    WIDE,
    Grey,
    Ink,
    measure_ink,
    remove_salt_and_pepper,
    shrink,
)
from mnist_lstm.inference.picture.lines import Line, Page, Span
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.rounds import are_alike, are_ruled, find_ink
from mnist_lstm.inference.picture.sheet import Sheet, find_sheets
from mnist_lstm.inference.picture.two_tones import fills, find_two_tones

SPECK = 0.15  # share of the writing in the whole picture
FRAGMENTS = 12  # pieces at most

__all__ = ["Finding", "Images", "Line", "Page", "Span", "Writing", "find_writing", "is_mnist"]


@dataclass(frozen=True)
class Writing:
    """What was found in a picture.

    Attributes:
        page: the most likely lines; none without ink.
        finding: where they come from; None for an image in MNIST's form.
        others: that the same ink, or other ink, may be. They are looked for when they are asked for, by a reader that
            doubts the first, and hold some 40 MB until then.
    """

    page: Page
    finding: Finding | None = None
    others: Iterator[Finding] | None = None


def find_writing(grey: Grey) -> Writing:
    """Find the lines of digits in a picture: float32, 0 (black) to 1 (white), dark on light or light on dark."""
    found = _find(grey)
    first = next(found, None)
    return Writing(Page([]) if first is None else first.page, first, found)


def _find(grey: Grey) -> Iterator[Finding]:
    """Yield what may be writing, the most likely first."""
    if min(grey.shape) < 3 or float(np.ptp(grey)) < MIN_CONTRAST:
        return
    grey = remove_salt_and_pepper(grey)
    two_tones = [(finding, fills(finding)) for finding in find_two_tones(grey)]
    yield from (finding for finding, is_crop in two_tones if is_crop)
    sheets = find_sheets(grey)
    for sheet in sheets:
        if sheet.is_certain:
            yield from _find_on(sheet)
            return
    later = _find_on(Sheet.of(grey))
    amount = later[0].amount if later else 0.0
    pieces = sum(line.pieces for line in later[0].page.lines) if later else 0
    # a large digit in a close crop falls into fragments, or is not found
    if pieces != 1 and pieces <= FRAGMENTS and (crop := _find_in_crop(grey)):
        yield crop[0]
    for sheet in sheets:
        found = _find_on(sheet)
        # what lies between the strokes of a close crop looks like a sheet as well, with a speck on it
        if found and found[0].amount > SPECK * amount:
            yield found.pop(0)
        later += found
    yield from later
    yield from (finding for finding, is_crop in two_tones if not is_crop)


def _find_in_crop(grey: Grey) -> list[Finding]:
    """Find one digit that fills the picture: at a reduced size, where its strokes are thin and sharp."""
    if max(grey.shape) <= SMALL:
        return []
    found = _find_on(Sheet.of(shrink(grey, max(grey.shape) / SMALL)), (WIDE,))
    return [finding for finding in found if len(finding.parts) == 1 and _fills(finding.parts[0], finding.labels.shape)]


def _fills(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part reaches from edge to edge, with dark and sharp strokes much narrower than itself."""
    share = max(part.width / shape[1], part.height / shape[0])
    return share > 0.88 and part.stroke < 0.24 * part.side and part.level > 0.35 and part.sharpness > 0.67


def _find_on(sheet: Sheet, widths: tuple[float, ...] = (WIDE, NARROW)) -> list[Finding]:
    """Find writing on a sheet in dark and in light ink, the largest amount first."""
    found: list[Finding] = []
    most, widest = 0.0, 0.0
    for light in (False, True):
        for width in widths:
            ink = measure_ink(sheet.grey, light, width)
            if ink is None:
                continue
            rounds = list(find_ink(ink, is_cut_out=sheet.is_cut_out))
            firm = []
            # strokes of a large digit look like sheets; ink of the other polarity is seldom firm alone
            if (sheet.is_certain or not sheet.is_cut_out) and (rounds or not found):
                firm = [
                    other
                    for firmer in _firmer(ink, bool(rounds))
                    for other in find_ink(firmer, is_cut_out=sheet.is_cut_out)
                    if not any(are_alike(other[0], writing) for writing, _, _ in rounds)
                    # where weak ink is no writing, upright bars are left of lines
                    and (rounds or not are_ruled(other[0]))
                ]
            for number, (writing, labels, rest) in enumerate([*rounds, *firm]):
                parts = [part for part in writing if part.stroke < 0.8 * width * max(labels.shape)]
                # a narrow filter follows uneven light, but leaves only the outlines of a wide stroke
                is_outline = width == NARROW and widest > 0.3 * NARROW * max(labels.shape)
                # firm strokes are sharper, and thinner than they are
                amount = _amount(parts) / (2 if is_outline else 1) / (1.2 if number >= len(rounds) else 1)
                if parts:
                    found.append(Finding(sheet, parts, labels, rest, amount, is_only_firm=not rounds))
                if amount > most:
                    most, widest = amount, max(part.stroke for part in parts)
    return sorted(found, key=lambda finding: -finding.amount)


def _firmer(ink: Ink, found: bool) -> Iterator[Ink]:
    """Yield less of the ink: without faint lines that join strokes, and if nothing was found, without a grid."""
    yield ink.firm()
    if not found and (darkest := ink.darkest()):
        yield darkest


def _amount(parts: list[Part]) -> float:
    """Return how much writing there is: the length of its strokes, if they are dark, sharp and not bare paper."""
    return sum(part.area / part.stroke * part.level * part.sharpness**2 * part.excess for part in parts)
