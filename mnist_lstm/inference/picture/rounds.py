"""Look for writing in rounds: without what is darker, more may be found, or less."""

from collections.abc import Iterator

import numpy as np

from mnist_lstm.inference.picture.ink import FAINT, Ink
from mnist_lstm.inference.picture.morphology import Labels, Mask, depth, dilate, label
from mnist_lstm.inference.picture.neighbours import with_neighbours
from mnist_lstm.inference.picture.parts import Part, find_parts
from mnist_lstm.inference.picture.rulings import is_straight
from mnist_lstm.inference.picture.writing import CONTRAST, select_writing

RULED = 0.8  # share of the length of lines at least: crossings are short


def find_ink(ink: Ink, *, is_cut_out: bool = False) -> Iterator[tuple[list[Part], Labels, Ink]]:
    """Yield the parts of the ink that are writing, the labelled picture, and the ink in which they were found.

    A frame, an object or a line may be darker than the writing. So the rest is looked at again without them, with
    thresholds of its own, up to twice: more may be found then, or less, if fainter lines touch the writing.

    Args:
        ink: of a picture.
        is_cut_out: whether the picture is a sheet, cut out of a larger one.
    """
    before: list[Part] = []
    for remaining in reversed(range(3)):
        parts, labels, lines = find_parts(ink)
        writing = select_writing(parts, labels, is_cut_out=is_cut_out)
        amounts = [part.area * part.level for part in writing]
        usual = float(np.median(amounts)) if writing else 0.0
        other = [part for part in parts if part not in writing and part.side > 8 and part.area * part.level > usual]
        removed = np.isin(labels, [part.label for part in other])
        if not writing:
            removed |= lines & ~ink.removed
        rest = ink.without(dilate(removed, 5, 5)) if float(ink.strength[removed].sum()) > 0.3 * sum(amounts) else None
        if _stands_out(writing, labels, ink, lines) and not _are_lines(writing, labels, ink, lines):
            writing, labels = with_neighbours(writing, parts, labels, ink, lines)
            if not are_alike(writing, before):
                yield writing, labels, ink
            before = writing
        if rest is None or not remaining:
            return
        ink = rest


def are_alike(parts: list[Part], others: list[Part]) -> bool:
    """Return whether parts have the same bounds as others, to a few pixels."""
    if len(parts) != len(others):
        return False
    bounds = [np.array(sorted((p.left, p.top, p.right, p.bottom) for p in group)) for group in (parts, others)]
    return bool(np.abs(bounds[0] - bounds[1]).max() <= 3)


def are_ruled(parts: list[Part]) -> bool:
    """Return whether nearly all parts are bars along the rows or the columns of the picture."""
    return sum(part.side for part in parts if part.is_ruled) >= RULED * sum(part.side for part in parts)


def _are_lines(parts: list[Part], labels: Labels, ink: Ink, lines: Mask) -> bool:
    """Return whether parts are the rest of printed lines: upright or level bars, faint, of a grid or like lines."""
    straight = [part for part in parts if part.side > 20 and is_straight(labels[part.slices] == part.label)]
    is_faint = all(part.level < FAINT for part in parts)
    if is_faint and straight == parts:
        return True  # also corners of a grid
    # the lines of a sheet askew are tilted; at the edge, the last of a grid are joined
    bars = [p for p in parts if p.is_ruled or (is_faint and p.is_bar) or (p.edges and p in straight)]
    if sum(bar.side for bar in bars) < RULED * sum(part.side for part in parts):
        return False
    is_grid = len(bars) >= 4 and sum(bar.width > bar.height for bar in bars) >= 0.25 * len(bars)
    if is_grid or all(bar.level < FAINT and bar.is_ruled for bar in bars):
        return True
    if not lines.any():
        return False
    thickness, level = 2 * np.percentile(depth(lines)[lines], 90), np.median(ink.strength[lines])
    return all(bar.stroke <= 1.6 * thickness and bar.level < 1.6 * level for bar in bars)


def _stands_out(parts: list[Part], labels: Labels, ink: Ink, lines: Mask) -> bool:
    """Return whether parts are darker than grain, and more than the stains that are as dark."""
    level = float(np.median([part.level for part in parts])) if parts else 0.0
    if level < CONTRAST * ink.floor or not parts:
        return False
    written = np.isin(labels, [part.label for part in parts])
    size = 2 * max(2, min(labels.shape) // 60) + 1
    stains = (ink.strength > 0.6 * level) & ~dilate(written, size, size) & ~dilate(ink.removed | lines, 5, 5)
    _, boxes = label(stains)
    left, top, width, height, area = boxes[1:].T
    at_edge = (left == 0) | (top == 0) | (left + width == labels.shape[1]) | (top + height == labels.shape[0])
    is_stain = ~at_edge & (area > 0.1 * np.median([part.area for part in parts]))  # and no noise
    return bool(area[is_stain].sum() < 0.5 * written.sum())
