"""Where does one digit end and the next begin? Every way to cut a line into digits, and the most likely one.

A part that is too wide for one digit is cut where little ink crosses. Consecutive pieces may then form one digit: a
`Span`. The network reads each of them, and `Line.best_path` chooses, as readers of cheques do: over-segmentation and
the best path through it.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.inference.picture.form import Images, to_mnist
from mnist_lstm.inference.picture.ink import Grey, Ink
from mnist_lstm.inference.picture.morphology import Labels, Mask, dilate
from mnist_lstm.inference.picture.order import sort_into_lines
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.pieces import Piece, digit_height, find_pieces

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""

MAX_PIECES = 3  # parts of one digit side by side
NARROW = 0.55  # width of a part that may be two digits beside others, as a share of the width of a digit at most
SOFT = 2  # pixels around a part that belong to the soft edge of its strokes


@dataclass(frozen=True)
class Span:
    """Consecutive pieces of a line that may be one digit.

    Attributes:
        start: number of the first piece.
        end: number after the last.
        box: of its ink, in pixels; from `find_writing`, as shares of the picture's width and height.
        image: uint8 ``(28, 28)`` in MNIST's form.
        penalty: how unlike one digit it is by its shape alone, at least 0, as a negative log-probability.
        whole: the pieces, first and last but one, of a part that is no wider than a digit, if the span is a slice of
            it: it counts as far as the network doubts the whole. None for other spans.
    """

    start: int
    end: int
    box: Box
    image: Images = field(repr=False)
    penalty: float
    whole: tuple[int, int] | None = None

    @property
    def height(self) -> float:
        """That of its box."""
        return self.box[3] - self.box[1]

    def is_level_with(self, other: "Span") -> bool:
        """Return whether two spans may stand in a line of writing."""
        shared = min(self.box[3], other.box[3]) - max(self.box[1], other.box[1])
        return shared > 0.4 * min(self.height, other.height)

    def overlaps(self, other: "Span") -> bool:
        """Return whether the boxes of two spans have a point in common."""
        (left, top, right, bottom), (a, b, c, d) = self.box, other.box
        return max(left, a) < min(right, c) and max(top, b) < min(bottom, d)

    def map_box(self, change: Callable[[Box], Box]) -> "Span":
        """Return the same span with another box."""
        return replace(self, box=change(self.box))


@dataclass(frozen=True)
class Line:
    """A line of writing: the number of its pieces, and every `Span` of them that may be a digit."""

    pieces: int
    spans: list[Span]

    @classmethod
    def of(cls, image: Images) -> "Line":
        """Return a line of one digit that is in MNIST's form."""
        return cls(1, [Span(0, 1, (0.0, 0.0, 1.0, 1.0), image, 0.0)])

    def map_boxes(self, change: Callable[[Box], Box]) -> "Line":
        """Return the same line with other boxes."""
        return Line(self.pieces, [span.map_box(change) for span in self.spans])

    def best_path(self, probabilities: Sequence[float]) -> tuple[list[int], float]:
        """Return the numbers of the spans that are the most likely digits, and the share of this path in all paths.

        A path covers the line from left to right. Its weight is the product of exp(-penalty) and, for each span, of how
        likely it is to be a digit at all: 1 if a digit has the probability 1, 0 if all digits are as likely.

        Args:
            probabilities: of the most likely digit of each span, 0 to 1.
        """
        if len(self.spans) == 1:  # to save time
            return [0], 1.0
        best: list[tuple[float, list[int]]] = [(0.0, [])]
        best += [(math.inf, [])] * self.pieces
        total = [1.0] + [0.0] * self.pieces  # weight of all paths to a place
        chance = 1 / len(CLASS_NAMES)
        certain = {(span.start, span.end): p for span, p in zip(self.spans, probabilities, strict=True)}
        for number, span in sorted(enumerate(self.spans), key=lambda item: item[1].end):
            before, path = best[span.start]
            weight = math.exp(-span.penalty) * max((probabilities[number] - chance) / (1 - chance), 1e-9)
            if span.whole is not None:
                weight *= 1 - certain[span.whole]
            cost = before - math.log(max(weight, 1e-300))
            total[span.end] += total[span.start] * weight
            if cost < best[span.end][0]:
                best[span.end] = (cost, [*path, number])
        cost, path = best[-1]
        return path, min(1.0, math.exp(-cost) / max(total[-1], 1e-300))


@dataclass(frozen=True)
class Page:
    """What is written: lines from the top, and the rest, bars and dots that belong to no digit."""

    lines: list[Line]
    rest: list[Span] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        """All spans, those of the lines first."""
        return [*(span for line in self.lines for span in line.spans), *self.rest]

    def map_boxes(self, change: Callable[[Box], Box]) -> "Page":
        """Return the same page with other boxes."""
        return Page([line.map_boxes(change) for line in self.lines], [span.map_box(change) for span in self.rest])


def find_page(parts: list[Part], labels: Labels, ink: Ink) -> Page:
    """Return the lines of writing, each with its spans from left to right, and the rest."""
    pieces, rest = find_pieces(parts, labels)
    lines = sort_into_lines(pieces) if pieces else []
    spans = [_span(piece, 0, 1, labels, ink, 0.0) for piece in rest]
    return Page([_line(line, labels, ink) for line in lines], spans)


def _line(parts: list[Piece], labels: Labels, ink: Ink) -> Line:
    height = digit_height(parts)
    width = _digit_width(parts, height)
    pieces: list[Piece] = []
    wholes: list[tuple[int, int] | None] = []  # of each piece
    for part in parts:
        excess = part.width / (width * max(part.height / height, 0.8))
        slices = _cut(part, height, labels) if excess >= (1 if len(parts) == 1 else NARROW) else [part]
        wholes += [(len(pieces), len(pieces) + len(slices)) if excess < 1 and len(slices) > 1 else None] * len(slices)
        pieces += slices
    spans = []
    for start in range(len(pieces)):
        span = pieces[start]
        for end in range(start + 1, len(pieces) + 1):
            if end > start + 1:
                last = pieces[end - 1]
                joined = span | last
                if not _may_join(span, last, joined, height) or (not joined.is_cut and end > start + MAX_PIECES):
                    break
                span = joined
            whole = wholes[start] if wholes[start] == wholes[end - 1] != (start, end) else None
            penalty = _penalty(span, pieces, start, end, height, width)
            spans.append(replace(_span(span, start, end, labels, ink, penalty), whole=whole))
    return Line(len(pieces), spans)


def _span(piece: Piece, start: int, end: int, labels: Labels, ink: Ink, penalty: float) -> Span:
    box = (piece.left, piece.top, piece.right, piece.bottom)
    return Span(start, end, box, to_mnist(cut_out(piece, labels, ink)), penalty)


def _may_join(span: Piece, last: Piece, joined: Piece, height: float) -> bool:
    if last.is_cut and span.is_cut and last.labels == span.labels:  # slices of a part
        return joined.width <= 1.8 * max(height, joined.height)
    return last.left - span.right <= 0.12 * height and joined.width <= 1.1 * max(height, joined.height)


def _digit_width(parts: list[Piece], height: float) -> float:
    """Return how wide a digit may be: more if there are no others to compare with."""
    widths = sorted(part.width for part in parts if part.width > 0.3 * height)
    if len(widths) < 2:
        return 1.15 * height
    return min(1.15 * height, max(0.85 * height, 1.6 * widths[(len(widths) - 1) // 2]))


def _penalty(span: Piece, line: list[Piece], start: int, end: int, height: float, width: float) -> float:
    """Return how unlike one digit a span is: too wide, too low, in pieces with gaps, cut out of a part."""
    pairs = list(itertools.pairwise(line[start:end]))
    neighbours = (line[start - 1] if start else None, line[end] if end < len(line) else None)
    cuts = sum(other is not None and other.is_cut and other.labels == span.labels for other in neighbours)
    wide = max(0.0, span.width / max(width * span.height / height, 0.6 * width) - 1)
    gaps = sum(max(0, b.left - a.right) for a, b in pairs) / height
    apart = sum(not (a.is_cut and b.is_cut) for a, b in pairs)
    penalty = 6 * wide + 10 * gaps + 1.5 * apart
    if not cuts:
        return penalty + 3 * max(0.0, 0.45 - span.height / height)
    is_alone = all(piece.labels == span.labels for piece in line)
    low, narrow = max(0.0, 0.6 - span.height / height), max(0.0, 0.12 - span.width / height)
    return penalty + (2.0 if is_alone else 1.0) * cuts + 20 * low + 5 * narrow


def _cut(part: Piece, height: float, labels: Labels) -> list[Piece]:
    """Cut a part where little ink crosses."""
    mask = np.isin(labels[part.top : part.bottom, part.left : part.right], part.labels)
    kernel = np.ones(max(1, round(0.06 * height)))
    crossing = np.convolve(mask.sum(axis=0), kernel / kernel.sum(), mode="same")
    least = max(2, round(0.12 * height))
    cuts: list[int] = []
    for x in sorted(range(least, mask.shape[1] - least), key=lambda x: (crossing[x], x)):
        if len(cuts) >= round(3 * part.width / height) or crossing[x] > max(1.8 * part.stroke, 0.5 * part.height):
            break
        if all(abs(x - other) > 0.25 * height for other in cuts):
            cuts.append(x)
    pieces = []
    for left, right in itertools.pairwise([0, *sorted(cuts), part.width]):
        rows, columns = (np.flatnonzero(mask[:, left:right].any(axis=axis)) for axis in (1, 0))
        if rows.size:
            x, y = part.left + left, part.top
            box = (x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)
            pieces.append(Piece(*box, part.labels, part.stroke, bool(cuts)))
    return pieces


def cut_out(piece: Piece, labels: Labels, ink: Ink) -> Grey:
    """Cut out the ink of a piece with the soft edges of its strokes and without its neighbours: 0 to 1."""
    top, left = max(0, piece.top - SOFT), max(0, piece.left - SOFT)
    around = slice(top, piece.bottom + SOFT), slice(left, piece.right + SOFT)
    core: Mask = np.isin(labels[around], piece.labels)
    if piece.is_cut:
        columns = np.arange(left, left + core.shape[1])
        core = core & (columns >= piece.left) & (columns < piece.right)
    is_own = dilate(core, 2 * SOFT + 1, 2 * SOFT + 1) & ((labels[around] == 0) | core)
    cut = np.where(is_own, ink.strength[around], 0)
    # a pen that skips leaves faint places: compare each pixel with the darkest one around it
    size = 2 * math.ceil(piece.stroke) + 1
    usual = float(np.percentile(cut[core], 70))
    full = np.clip(cv2.dilate(cut, np.ones((size, size), np.uint8)), 0.35 * usual, usual)
    full = cv2.blur(full, (size, size))
    strength: Grey = np.clip((cut / np.maximum(full, 1e-6) - 0.08) / 0.92, 0, 1).astype(np.float32)
    return strength
