"""What the network makes of the ink that was found in a picture, and which of several findings it makes most of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mnist_lstm.inference.picture import Page, Span

DIGIT = 0.3
"""Probability of the most likely class below which ink is no digit: the network was trained to find all classes as
likely then."""

SURE = 0.9
"""Probability from which all digits of a finding must be for it to be taken without looking for another."""

LIKELY = 0.75
"""Probability that the digits of a guess have in the (geometric) mean at least."""

BETTER = 0.3
"""How much more must be read in a later finding, as a difference of scores: earlier ones are more likely."""

SMALL_MARK = 0.5
"""Share of the digits' height: lower marks that are no digit are dots, dashes or rests of ruled lines."""

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Digit:
    """A span that was read: probabilities of the classes 0 to 9."""

    span: Span
    probabilities: tuple[float, ...]

    @property
    def value(self) -> int:
        """The most likely class."""
        return self.probabilities.index(max(self.probabilities))

    @property
    def probability(self) -> float:
        """That of the most likely class."""
        return max(self.probabilities)


@dataclass(frozen=True)
class Reading:
    """The most likely way to read the lines of a picture.

    Attributes:
        lines: of digits, from the top, each from left to right.
        marks: ink that is no digit beside those that are; the only ink of a picture is in ``lines`` whatever it is.
        rest: bars and dots that belong to no digit.
        division: probability that the ink was divided into digits in the right way.
    """

    lines: list[list[Digit]]
    marks: list[Digit]
    rest: list[Digit]
    division: float

    @classmethod
    def of(cls, page: Page, probabilities: Sequence[Probabilities]) -> "Reading":
        """Read lines by the probabilities ``(10,)`` of each of the page's spans, in order."""
        division = 1.0
        read: list[list[Digit]] = []
        each = iter(probabilities)
        for line in page.lines:
            rows = [next(each) for _ in line.spans]
            path, share = line.best_path([float(row.max()) for row in rows])
            division *= share
            read.append([Digit(line.spans[i], tuple(rows[i].tolist())) for i in path])
        rest = [Digit(span, tuple(row.tolist())) for span, row in zip(page.rest, each, strict=True)]
        marks = [digit for line in read for digit in line if digit.probability < DIGIT]
        if len(marks) == sum(map(len, read)):
            return cls(read, [], rest, division)
        digits = [[digit for digit in line if digit.probability >= DIGIT] for line in read]
        return cls([line for line in digits if line], marks, rest, division)

    def as_marks(self) -> "Reading":
        """Return a reading of no digits, in which all ink is left out."""
        return Reading([], [], [*self.digits, *self.marks, *self.rest], 1.0)

    def with_marks(self, marks: list[Digit]) -> "Reading":
        """Return the same with marks of another reading of the picture, which must not be dropped in silence.

        Those are added that stand beside a digit of this one, are about as high, and where nothing else was found.
        """
        own = [digit.span for digit in [*self.digits, *self.marks]]
        left = [
            mark
            for mark in marks
            if 0.55 < mark.span.height / self._height < 1.6
            and any(digit.span.is_level_with(mark.span) for digit in self.digits)
            and not any(span.overlaps(mark.span) for span in own)
        ]
        return replace(self, marks=[*self.marks, *left])

    @property
    def digits(self) -> list[Digit]:
        """All digits in the order of reading."""
        return [digit for line in self.lines for digit in line]

    @property
    def probability(self) -> float:
        """That of all digits and of the way in which the ink was divided into them."""
        return self.division * float(np.prod([digit.probability for digit in self.digits]))

    @property
    def score(self) -> float:
        """How much was read: probable digits count for a finding; improbable ones and marks count more, against it."""
        return sum(math.log(2 * digit.probability) for digit in [*self.digits, *self.marks])

    @property
    def has_digits(self) -> bool:
        """Whether any ink is like a digit."""
        return any(digit.probability >= DIGIT for digit in self.digits)

    @property
    def is_sure(self) -> bool:
        """Whether all ink is digits without doubt."""
        return bool(self.lines) and not self.marks and min(digit.probability for digit in self.digits) >= SURE

    @property
    def large_marks(self) -> int:
        """Number of marks that are too high for dots, dashes and rests of lines."""
        return sum(mark.span.height > SMALL_MARK * self._height for mark in self.marks)

    @property
    def _height(self) -> float:
        """That of the digits: the median, the upper one of two."""
        heights = sorted(digit.span.height for digit in self.digits)
        return heights[len(heights) // 2]
