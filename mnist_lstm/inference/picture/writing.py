"""Which ink is writing? Without shadows, frames, objects at the edges, stains and grain."""

from collections.abc import Iterator

import numpy as np

from mnist_lstm.inference.picture.ink import FAINT, SMALL, Ink
from mnist_lstm.inference.picture.morphology import Labels, Mask, depth, dilate, label
from mnist_lstm.inference.picture.parts import Part, find_parts
from mnist_lstm.inference.picture.rulings import is_frame, is_straight

# Least of writing, where 99 % of the digits of scripts/evaluate_pictures.py that are read have 0.68, 0.60 and 3.5.
SHARPNESS, EXCESS = 0.58, 0.35
WEAK_SHARPNESS = 0.3  # beside writing
STEP = 1.2  # of a bar at most: 1s have up to 0.5, near a shadow 1.1, its edges 1.5 and more
CONTRAST = 2.4  # level of the ink, as a multiple of what may be noise


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
        if _stands_out(writing, labels, ink, lines) and not _are_lines(writing, ink, lines):
            writing = _with_neighbours(writing, parts, labels)
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


def select_writing(parts: list[Part], labels: Labels, *, is_cut_out: bool = False) -> list[Part]:
    """Drop the parts that are not writing."""
    shape = labels.shape
    parts = _without_frames([part for part in parts if _is_stroke(part, shape)], labels)
    inside = [part for part in parts if not part.edges]
    largest = max((part.side for part in inside), default=0)
    if is_cut_out:  # what touches its edge is left of the surroundings
        parts = inside
    elif largest >= max(10, 0.025 * max(shape)):
        parts = [part for part in parts if not part.edges or not _is_object(part, shape)]
    if not parts:
        return []
    if largest >= 0.07 * max(shape) or (largest >= 12 and len(inside) > 1):
        # ink at the edge is an object, a finger or the edge of the paper, unless it looks like the rest
        typical = _typical([part for part in inside if part.side >= 0.3 * largest])
        at_edge = [part for part in parts if part.edges == 1 and 0.5 < part.stroke / typical.stroke < 1.6]
        parts = inside + [part for part in at_edge if 0.5 < part.side / typical.side < 1.6]
    else:
        main = max(parts, key=lambda part: part.area * part.level)
        parts = [part for part in parts if part is main or not part.edges or part.side > 0.5 * main.side]
    typical = _typical(parts)
    return [part for part in parts if part is typical or not _is_speck(part, typical)]


def _with_neighbours(writing: list[Part], parts: list[Part], labels: Labels) -> list[Part]:
    """Add parts that are less sharp or dark than the writing, as on the edge of a shadow, but of its size beside it."""
    typical = _typical(writing)
    weak = [part for part in parts if part not in writing and _is_like(part, typical)]
    weak = _without_frames([part for part in weak if not any(_overlap(part, other) for other in writing)], labels)
    chosen = list(writing)
    for part in chosen:  # grows
        beside = [other for other in weak if _is_beside(part, other, typical.height)]
        chosen += beside
        weak = [other for other in weak if other not in beside]
    return chosen


def _is_like(part: Part, typical: Part) -> bool:
    """Return whether a part might be writing of the size of a typical part."""
    return (
        0.55 * typical.height < part.height < 1.6 * typical.height
        and part.width < 1.3 * max(part.height, typical.height)
        and 0.4 * typical.stroke < part.stroke < 2 * typical.stroke
        and part.level > 0.25 * typical.level
        and part.sharpness > WEAK_SHARPNESS
        and part.step <= STEP
        and not part.edges
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


def _is_stroke(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part is sharp, darker than its surroundings, and neither tiny, a blob nor a line."""
    sharpness = SHARPNESS if max(shape) > SMALL else 0.6 * SHARPNESS
    if part.sharpness <= sharpness or part.excess <= EXCESS or part.side <= max(5, 0.01 * max(shape)):
        return False
    if part.step > STEP or (part.is_bar and 0 < part.edges < 3 and part.level < FAINT):  # the edge of a shadow
        return False
    is_blob = part.stroke > 0.6 * part.side and part.area > 0.65 * part.width * part.height
    # from one edge of the picture to another: the edge of a shadow or a fold
    crosses = part.edges >= 2 or part.side > 0.9 * max(shape)
    is_line = crosses and part.stroke < 0.04 * part.side and part.area < 1.5 * part.stroke * part.side
    return not is_blob and not is_line


def _is_object(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part at the edge is compact or in a corner, and does not fill the picture, as a close crop."""
    fills = part.width > 0.8 * shape[1] and part.height > 0.8 * shape[0]
    return not fills and (part.stroke >= 0.3 * part.side or part.edges > 1)


def _typical(parts: list[Part]) -> Part:
    """Return the part of median size, weighted by size: specks count little."""
    ordered = sorted(parts, key=lambda part: part.side)
    sizes = np.cumsum([part.side**2 for part in ordered])
    return ordered[int(np.searchsorted(sizes, sizes[-1] / 2))]


def _is_speck(part: Part, typical: Part) -> bool:
    """Return whether a part is much smaller, fainter or thicker than the typical one, or a thinner line."""
    is_small = part.side < max(1.5 * typical.stroke, 0.14 * typical.side)
    is_thick = part.stroke > 3.5 * typical.stroke and part.side > 2 * typical.side
    is_line = part.is_bar and part.stroke < 0.5 * typical.stroke
    return is_small or is_thick or is_line or part.level < 0.3 * typical.level


def _without_frames(parts: list[Part], labels: Labels) -> list[Part]:
    """Drop boxes around other parts, and empty ones."""
    rest = []
    for part in parts:
        mask = labels[part.slices] == part.label
        is_around = any(other is not part and _contains(part, other) for other in parts)
        if not is_frame(mask, 0.86 if is_around else 0.93) and not (is_around and is_straight(mask)):
            rest.append(part)
    return rest


def _contains(outer: Part, inner: Part) -> bool:
    return (
        outer.left <= inner.left
        and outer.top <= inner.top
        and inner.right <= outer.right
        and inner.bottom <= outer.bottom
        and inner.height > 0.15 * outer.height
    )


def _are_lines(parts: list[Part], ink: Ink, lines: Mask) -> bool:
    """Return whether parts are the rest of printed lines: upright or level bars, faint, of a grid or like lines."""
    bars = [part for part in parts if part.is_bar and min(part.width, part.height) <= 1.6 * part.stroke]
    if len(bars) < 0.8 * len(parts):
        return False
    is_grid = len(bars) >= 4 and sum(bar.width > bar.height for bar in bars) >= 0.25 * len(bars)
    if is_grid or all(bar.level < FAINT for bar in bars):
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
    return bool(area[~at_edge].sum() < 0.5 * written.sum())
