"""`Finding`: ink on a sheet that may be writing. The network reads several of a picture, if it doubts the first."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mnist_lstm.inference.picture.ink import FAINT, Ink
from mnist_lstm.inference.picture.lines import Page, find_page
from mnist_lstm.inference.picture.morphology import Labels
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.sheet import Sheet

PLAIN = 0.3  # level of ink
SOLID = 0.3  # width of the stroke, as a share of the longer side: nearly all digits have less
COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167))  # of parts side by side


@dataclass(frozen=True)
class Finding:
    """Ink on a sheet that may be writing.

    Attributes:
        sheet: where it is.
        parts: of the ink.
        labels: the parts in the sheet, int32 ``(height, width)``.
        ink: in which they were found.
        amount: how much writing they would be; 0 if that is unknown.
        is_only_firm: whether there would be none if weak ink counted as well.
    """

    sheet: Sheet
    parts: list[Part]
    labels: Labels
    ink: Ink
    amount: float
    is_only_firm: bool = False

    @property
    def level(self) -> float:
        """The median strength of the ink of the parts."""
        return float(np.median([part.level for part in self.parts]))

    @property
    def is_guess(self) -> bool:
        """Whether it counts only for a reader that is sure of it: bare ground is all there may be."""
        return self.is_only_firm or not self.amount or self.level < FAINT

    @property
    def is_drawn(self) -> bool:
        """Whether it is surely drawn, digit or not: fainter ink may be a fold or the rest of a line, a blob a stain."""
        return self.level >= PLAIN and any(part.stroke < SOLID * part.side for part in self.parts)

    @functools.cached_property
    def page(self) -> Page:
        """The lines of writing, with boxes as shares of the picture."""
        return find_page(self.parts, self.labels, self.ink).map_boxes(self.sheet.locate)

    def stages(self) -> dict[str, Image.Image]:
        """Draw how it was found: the sheet, its ink, and the parts, in colours those that are writing."""
        colours = np.full((self.labels.max() + 1, 3), 90, np.uint8)
        colours[0] = 0
        for number, part in enumerate(self.parts):
            colours[part.label] = COLOURS[number % len(COLOURS)]
        ink = self.ink.strength / max(float(self.ink.strength.max()), 1e-6)
        return {
            "sheet": Image.fromarray(np.rint(255 * np.clip(self.sheet.grey, 0, 1)).astype(np.uint8)),
            "ink": Image.fromarray(np.rint(255 * np.clip(ink, 0, 1)).astype(np.uint8)),
            "writing": Image.fromarray(colours[self.labels]),
        }
