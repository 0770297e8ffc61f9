"""Which ink belongs together? The strokes of a digit are merged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture.ink import SMALL
from mnist_lstm.inference.picture.morphology import Labels
from mnist_lstm.inference.picture.parts import Bounds, Part

ROW_HEIGHT, ROW_STROKES = 2.0, 3  # height of digits that touch, in strokes, and how many stand side by side, at least
NOISE = 3  # pixels: salt and pepper break the strokes of a small picture


@dataclass(frozen=True)
class Piece(Bounds):
    """Ink of a digit or of several that touch: parts, or a slice of one.

    Attributes:
        labels: of the parts, in ascending order.
        stroke: width of its widest stroke in pixels.
        is_cut: whether it is a slice of a part, the columns from left to right.
    """

    labels: tuple[int, ...]
    stroke: float
    is_cut: bool = False

    @property
    def centre(self) -> tuple[float, float]:
        """Return x and y of the middle of the bounding box."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def __or__(self, other: "Piece") -> "Piece":
        return Piece(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            tuple(sorted({*self.labels, *other.labels})),
            max(self.stroke, other.stroke),
            self.is_cut or other.is_cut,
        )


def find_pieces(parts: list[Part], labels: Labels) -> tuple[list[Piece], list[Piece]]:
    """Merge the strokes of each digit.

    Returns:
        Pieces that may be digits, and the rest: bars and dots that belong to no digit.
    """
    pieces = [Piece(part.left, part.top, part.right, part.bottom, (part.label,), part.stroke) for part in parts]
    if not pieces:
        return [], []
    height = digit_height(pieces)
    pieces = _merge_strokes(pieces, height, labels)
    least = (0.25 if max(labels.shape) > SMALL else 0.45) * height  # in a small picture, specks are large
    digits = [p for p in pieces if max(p.width, p.height) > least and (p.height > 0.35 * p.width or _is_row(p, labels))]
    return digits, [piece for piece in pieces if piece not in digits]


def _is_row(piece: Piece, labels: Labels) -> bool:
    """Return whether a wide piece may be digits that touch: higher than a bar, and many strokes side by side."""
    if piece.height < ROW_HEIGHT * piece.stroke:
        return False
    third = piece.height // 3
    middle = labels[piece.top + third : piece.bottom - third, piece.left : piece.right]
    mask = np.pad(np.isin(middle, piece.labels), ((0, 0), (1, 0)))
    strokes = (mask[:, 1:] & ~mask[:, :-1]).sum(axis=1)  # of each row
    return int(strokes.max()) >= ROW_STROKES


def digit_height(pieces: Sequence[Piece]) -> float:
    """Return the usual height of a digit in pixels: the median, weighted by height."""
    heights = np.sort([max(piece.height, 0.5 * piece.width) for piece in pieces])
    return float(heights[np.searchsorted(np.cumsum(heights), heights.sum() / 2)])


def _merge_strokes(pieces: list[Piece], height: float, labels: Labels) -> list[Piece]:
    """Merge pieces that nearly touch above each other, such as the bar of a 5; in a small picture, in any direction."""
    reach = NOISE if max(labels.shape) <= SMALL else 0
    pieces = sorted(pieces, key=lambda piece: piece.left)
    first = 0
    while first < len(pieces):
        piece = pieces[first]
        for index in range(first + 1, len(pieces)):
            other = pieces[index]
            if other.left > piece.right + reach:
                first += 1
                break
            is_near = reach and _distance(piece, other, labels) <= reach
            if is_near or _is_same_digit(piece, other, height, labels, few=len(pieces) <= 3):
                pieces[first] = piece | other
                del pieces[index]
                first = 0
                break
        else:
            first += 1
    return pieces


def _is_same_digit(a: Piece, b: Piece, height: float, labels: Labels, *, few: bool) -> bool:
    """Return whether pieces above each other are strokes of a digit; among few, also two halves of one."""
    both = a | b
    share = (min(a.right, b.right) - max(a.left, b.left)) / min(a.width, b.width)
    gap = max(a.top, b.top) - min(a.bottom, b.bottom)
    are_halves = few and share > 0.6 and gap < 0.13 * both.height and both.height < 2.2 * both.width
    if share < 0.3 or (both.height > 1.6 * height and not are_halves):
        return False
    is_small = min(a.height, b.height) < 0.55 * max(a.height, b.height)
    if not is_small and both.height > 1.25 * height and both.height > 1.9 * both.width:
        return False  # digits of two lines
    limit = (0.25 if is_small else 0.16) * both.height
    return gap < limit and _distance(a, b, labels) < limit + 0.5 * (a.stroke + b.stroke)


def _distance(a: Piece, b: Piece, labels: Labels) -> float:
    """Return the least distance between the ink of two pieces, in pixels."""
    first, second = (_outline(piece, labels) for piece in (a, b))
    return float(np.sqrt(((first[:, None] - second[None]) ** 2).sum(axis=2).min()))


def _outline(piece: Piece, labels: Labels) -> npt.NDArray[np.int64]:
    """Return y and x of up to about 200 pixels on the rim of a piece, int64 ``(points, 2)``."""
    mask = np.pad(np.isin(labels[piece.top : piece.bottom, piece.left : piece.right], piece.labels), 1)
    inner = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    points = np.argwhere(mask[1:-1, 1:-1] & ~inner)
    return np.asarray(points[:: max(1, len(points) // 200)] + np.array([piece.top, piece.left]), dtype=np.int64)
