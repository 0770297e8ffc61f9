"""Ink beside the writing and like it, but less dark or less sharp: on the edge of a shadow, or of another pen."""

from dataclasses import replace

import numpy as np

from mnist_lstm.inference.picture.ink import Ink
from mnist_lstm.inference.picture.morphology import Labels, Mask, dilate
from mnist_lstm.inference.picture.parts import Part, find_parts
from mnist_lstm.inference.picture.writing import (
    CONTRAST,
    EXCESS,
    SHARPNESS,
    STEP,
    is_separator,
    is_stroke,
    typical_part,
    without_frames,
)

WEAK_SHARPNESS = 0.3
WEAKER, LIGHTER = 0.25, 0.22  # level of weak ink and of another pen, as shares of that of the writing
FAINTEST = 0.12
DARKER = 1.6  # level of faint ink beside printed lines, as a multiple of theirs


def with_neighbours(
    writing: list[Part], parts: list[Part], labels: Labels, ink: Ink, lines: Mask
) -> tuple[list[Part], Labels]:
    """Add weak and faint ink that is like the writing; return the labels of all of it as well.

    Args:
        writing: at least one part.
        parts: all that were found in the ink.
        labels: the parts in the picture.
        ink: in which they were found.
        lines: ink of printed lines.
    """
    writing = _with_weak(writing, parts, labels)
    return _with_faint(writing, parts, labels, ink, lines)


def _with_weak(writing: list[Part], parts: list[Part], labels: Labels) -> list[Part]:
    """Add parts beside the writing that are less sharp or dark, and such as are otherwise like it: out of focus."""
    typical = typical_part(writing)
    weak = [part for part in parts if part not in writing and _is_like(part, typical, WEAKER * typical.level)]
    weak = without_frames([part for part in weak if not any(_overlap(part, other) for other in writing)], labels)
    alike = [part for part in weak if _is_much_like(part, typical)]
    return _grow([*writing, *alike], [part for part in weak if part not in alike], typical.height)


def _with_faint(
    writing: list[Part], parts: list[Part], labels: Labels, ink: Ink, lines: Mask
) -> tuple[list[Part], Labels]:
    """Look for ink beside the writing that is too faint to be ink where the writing is: that of another pen."""
    typical = typical_part(writing)
    least = max(FAINTEST, CONTRAST * ink.floor, LIGHTER * typical.level)
    if lines.any():  # what is left of them is no darker
        least = max(least, DARKER * float(np.median(ink.strength[lines])))
    known = dilate(np.isin(labels, [part.label for part in parts]) | lines, 5, 5)
    if (ink.strength[~known] > least).sum() < 0.2 * typical.area:  # to save time
        return writing, labels
    rest = ink.without(known)
    if rest is None:
        return writing, labels
    faint, own_labels, _ = find_parts(rest)
    faint = [
        part
        for part in faint
        if is_stroke(part, labels.shape)
        and _is_like(part, typical, least)
        and not part.is_ruled
        and not any(_overlap(part, other) for other in writing)
    ]
    added = _grow(writing, without_frames(faint, own_labels), typical.height)[len(writing) :]
    if not added:
        return writing, labels
    first = int(labels.max())
    labels = np.where(np.isin(own_labels, [part.label for part in added]), own_labels + first, labels)
    return [*writing, *(replace(part, label=part.label + first) for part in added)], labels


def _grow(writing: list[Part], others: list[Part], height: float) -> list[Part]:
    """Add those of other parts that stand beside the writing, or beside one that was added."""
    grown = list(writing)
    for part in grown:  # which grows
        beside = [other for other in others if _is_beside(part, other, height)]
        grown += beside
        others = [other for other in others if other not in beside]
    return grown


def _is_like(part: Part, typical: Part, least: float) -> bool:
    """Return whether a part might be writing of the size of a typical part, at least as dark as ``least``."""
    return (
        0.55 * typical.height < part.height < 1.6 * typical.height
        and part.width < 1.3 * max(part.height, typical.height)
        and 0.4 * typical.stroke < part.stroke < 2 * typical.stroke
        and part.level > least
        and part.sharpness > WEAK_SHARPNESS
        and part.step <= STEP
        and not is_separator(part, typical)
        and not part.edges
    )


def _is_much_like(part: Part, typical: Part) -> bool:
    """Return whether a part that is like a typical part is so in all but a little sharpness."""
    return (
        0.7 * typical.height < part.height < 1.4 * typical.height
        and 0.6 * typical.stroke < part.stroke < 1.6 * typical.stroke
        and part.level > 0.6 * typical.level
        and part.sharpness > 0.75 * SHARPNESS
        and part.excess > EXCESS
    )


def _is_beside(part: Part, other: Part, height: float) -> bool:
    """Return whether two parts stand on a line, no further apart than words."""
    gap = max(part.left, other.left) - min(part.right, other.right)
    level = min(part.bottom, other.bottom) - max(part.top, other.top)
    return gap < 2 * height and level > 0.4 * min(part.height, other.height)


def _overlap(part: Part, other: Part) -> bool:
    """Return whether the middle of the smaller one of two parts is within the bounds of the other."""
    return min(part.right, other.right) - max(part.left, other.left) > 0.5 * min(part.width, other.width) and (
        min(part.bottom, other.bottom) - max(part.top, other.top) > 0.5 * min(part.height, other.height)
    )
