"""Which ink is writing? Without shadows, frames, objects at the edges, stains and grain."""

import numpy as np

from mnist_lstm.inference.picture.ink import FAINT, MIN_CONTRAST, SMALL
from mnist_lstm.inference.picture.morphology import Labels
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.rulings import is_frame, is_straight

# Least of writing, where 99 % of the digits of scripts/evaluate_pictures.py that are read have 0.68, 0.60 and 3.5.
SHARPNESS, EXCESS = 0.58, 0.35
SHOWN = (0.4, 1.4)  # range of all digits but one that were read there; where shadows and objects end, -0.4 to 2.3
EDGE = 6  # width of the edge of pale ink in pixels, at most: digits have up to 5, soft light 8 and more
SHOWN_BETWEEN = 1.2  # of what has dark lines around it and little excess, as bare paper has: digits have up to 1.18
DARK = 0.42  # share of the surroundings of a stroke, at most: digits have up to 0.4, outlines of objects 0.43 and more
FADED = 0.15  # share of a stroke's outline without an edge, at most: digits have up to 0.14
DARKEST = 0.5  # level of ink away from the edge, up to which it may have a shadow beside it
CORNER = 0.5  # share of the picture's width or height that a digit at two edges has at least
# of the left or right edge, and of its rectangle, that pale ink covers which does not reach the other edge, at most
ONE_SIDE, PATCH = 0.7, 0.4
SOLID = 0.7  # share of its rectangle that an object at the edge fills, at least
FILLED = 0.9  # share of its rectangle that a digit fills which is wider than 0.45 of its height, at most
STEP = 1.2  # of a bar at most: 1s have up to 0.5, near a shadow 1.1, its edges 1.5 and more
CONTRAST = 2.4  # level of the ink, as a multiple of what may be noise


def select_writing(parts: list[Part], labels: Labels, *, is_cut_out: bool = False) -> list[Part]:
    """Drop the parts that are not writing."""
    shape = labels.shape
    parts = without_frames([part for part in parts if is_stroke(part, shape)], labels)
    inside = [part for part in parts if not part.edges]
    largest = max((part.side for part in inside), default=0)
    if is_cut_out:  # what touches its edge is left of the surroundings
        parts = inside
    elif largest >= max(10, 0.025 * max(shape)):
        parts = [part for part in parts if not part.edges or not _is_object(part, shape)]
    elif not inside:  # a close crop, or objects; a 1 alone may go on beyond the upper or lower edge
        parts = [part for part in parts if part.side > 0.3 * min(shape) and not _is_in_corner(part, shape)]
        parts = [part for part in parts if not _comes_from_a_side(part, labels)]
        parts = [part for part in parts if not _is_solid_at_edge(part) or 0 < part.left < part.right < shape[1]]
    if not parts:
        return []
    if largest >= 0.07 * max(shape) or (largest >= 12 and len(inside) > 1):
        # ink at the edge is an object, a finger or the edge of the paper, unless it looks like the rest
        typical = typical_part([part for part in inside if part.side >= 0.3 * largest])
        at_edge = [part for part in parts if part.edges == 1 and 0.5 < part.stroke / typical.stroke < 1.6]
        parts = inside + [part for part in at_edge if 0.5 < part.side / typical.side < 1.6]
    else:
        main = max(parts, key=lambda part: part.area * part.level)
        parts = [part for part in parts if part is main or not part.edges or part.side > 0.5 * main.side]
    parts = _without_separators(parts)
    typical = typical_part(parts)
    return [part for part in parts if part is typical or not _is_speck(part, typical)]


def _without_separators(parts: list[Part]) -> list[Part]:
    """Drop printed lines between digits."""
    others = [part for part in parts if not part.is_bar] or [part for part in parts if not part.is_ruled]
    return [part for part in parts if not is_separator(part, typical_part(others))] if others else parts


def is_separator(part: Part, typical: Part) -> bool:
    """Return whether a part is a bar between digits, thinner than their strokes, and longer than they are high."""
    is_straight_bar = part.is_bar and min(part.width, part.height) < 0.2 * part.side
    return is_straight_bar and part.stroke < 0.6 * typical.stroke and part.side > 1.3 * typical.side


def is_stroke(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part is sharp, darker than its surroundings, and neither tiny, a blob nor a line."""
    sharpness = SHARPNESS if max(shape) > SMALL else 0.6 * SHARPNESS
    if part.sharpness <= sharpness or part.excess <= EXCESS or part.side <= max(5, 0.01 * max(shape)):
        return False
    if part.level < MIN_CONTRAST or part.faded > FADED:
        return False
    if not SHOWN[0] < part.shown < SHOWN[1] or part.edge > max(EDGE, 0.01 * max(shape)):
        return False
    is_outline = part.dark > DARK and (part.edges or part.level > DARKEST)
    if is_outline or (part.shown > SHOWN_BETWEEN and part.excess < 0.5):
        return False
    is_pale = part.level < FAINT and (part.edges >= 2 or (part.edges and part.is_bar))
    is_shadow = is_pale or (part.level < 0.5 * FAINT and part.edges)
    if part.step > STEP or (is_shadow and max(shape) > SMALL):  # faint ink in a small picture is a close crop
        return False
    if _is_solid_at_edge(part, SOLID) and part.width > part.height:  # an object
        return False
    is_sheet = part.filled > FILLED and min(part.width, part.height) > 0.45 * part.side
    is_blob = is_sheet or (part.filled > 0.65 and part.stroke > 0.6 * part.side)
    # from one edge of the picture to another: the edge of a shadow or a fold
    crosses = part.edges >= 2 or part.side > 0.9 * max(shape)
    is_line = crosses and part.stroke < 0.04 * part.side and part.area < 1.5 * part.stroke * part.side
    return not is_blob and not is_line


def _is_solid_at_edge(part: Part, share: float = 0.8) -> bool:
    """Return whether a part is an upright or level rectangle at one or two edges, as a phone that lies there."""
    return 0 < part.edges < 3 and part.filled > share


def _is_in_corner(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part at two edges is small: one that leaves no room for a digit beside it is a close crop."""
    return part.edges == 2 and max(part.width / shape[1], part.height / shape[0]) < CORNER


def _comes_from_a_side(part: Part, labels: Labels) -> bool:
    """Return whether pale ink fills the left or right edge and does not reach the other: light, no close crop."""
    if part.edges < 3 or (part.left == 0 and part.right == labels.shape[1]):
        return False
    along = max(float((labels[:, column] == part.label).mean()) for column in (0, -1))
    return part.level < DARKEST and part.filled > PATCH and along > ONE_SIDE


def _is_object(part: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part at the edge is compact or in a corner, and does not fill the picture, as a close crop."""
    fills = part.width > 0.8 * shape[1] and part.height > 0.8 * shape[0]
    return not fills and (part.stroke >= 0.3 * part.side or part.edges > 1)


def typical_part(parts: list[Part]) -> Part:
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


def without_frames(parts: list[Part], labels: Labels) -> list[Part]:
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
