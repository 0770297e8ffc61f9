"""Write numbers, in one line or several, with digits of MNIST or of a pen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from mnist_lstm.data import pens
from mnist_lstm.data.datasets import Digits
from mnist_lstm.data.forms import Form

Plane = npt.NDArray[np.float32]
"""Float32 array ``(height, width)``, 0 to 1."""


@dataclass(frozen=True)
class Writer:
    """Somebody who writes all digits of a picture.

    Attributes:
        mnist: images to take digits from; None: a pen's.
        hand: of the pen.
        forms: of the pen.
        width: of the pen, as a share of a digit's height.
    """

    mnist: Digits | None
    hand: pens.Hand
    forms: dict[int, tuple[Form, ...]]
    width: float

    def write(self, digit: int, height: float, rng: np.random.Generator) -> Plane:
        """Write a digit without any margin.

        Args:
            digit: 0 to 9.
            height: about that of the digit, in pixels.
            rng: for the choice among MNIST's images, or for the pen.

        Returns:
            Share of each pixel that is inked.
        """
        if self.mnist is None:
            paths = pens.strokes(digit, self.hand, rng, self.forms)
            return pens.draw(paths, height, max(1.0, self.width * height), rng)
        image = self.mnist.images[rng.choice(np.flatnonzero(self.mnist.labels == digit))]
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = height / max(20, *image.shape)
        padded = np.pad(image, 2).astype(np.float32) / 255
        size = max(3, round(padded.shape[1] * scale)), max(3, round(padded.shape[0] * scale))
        large = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC))
        sharp = np.clip((large - 0.5) * max(1.0, scale / 2) + 0.5, 0, 1).astype(np.float32)
        return _without_margin(sharp)


def draw_writer(rng: np.random.Generator, mnist: Digits | None, forms: dict[int, tuple[Form, ...]]) -> Writer:
    """Draw a writer at random: MNIST's images or, as often, a pen."""
    return Writer(mnist if rng.random() < 0.5 else None, pens.draw_hand(rng), forms, float(rng.uniform(0.035, 0.16)))


def write_lines(
    lines: list[str],
    height: float,
    writer: Writer,
    rng: np.random.Generator,
    *,
    touching: bool = False,
    least: float = 0.1,
) -> tuple[Plane, list[Plane]]:
    """Write lines of digits without any margin.

    Args:
        lines: from the top; digits only.
        height: of a digit in pixels.
        writer: of all of them.
        rng: for sizes, spaces and places.
        touching: the first two digits touch.
        least: space between digits, as a share of their height.

    Returns:
        Share of each pixel that is inked, and one such array per digit, in the order of reading.
    """
    space = rng.uniform(0.18, 0.7) * height
    pitch = (rng.uniform(1.5, 2.4) + least) * height
    slope = rng.normal(0, 0.03) if len(lines) > 1 or len(lines[0]) > 1 else 0.0
    bow = rng.normal(0, 0.02)
    placed: list[tuple[float, float, Plane]] = []  # top, left
    for number, line in enumerate(lines):
        left = rng.uniform(0, 0.8) * height if len(lines) > 1 else 0.0
        for index, character in enumerate(line):
            glyph = writer.write(int(character), height * rng.lognormal(0, 0.06), rng)
            along = left / height
            base = (
                number * pitch
                + slope * left
                + bow * (along - len(line) / 2) ** 2 * height
                + rng.normal(0, 0.03) * height
            )
            placed.append((base - glyph.shape[0], left, glyph))
            gap = max(space * rng.lognormal(0, 0.25), least * height)
            if touching and index == 0:
                gap = -rng.uniform(0.02, 0.06) * height
            left += glyph.shape[1] + gap
    top, start = min(p[0] for p in placed), min(p[1] for p in placed)
    size = (
        max(round(t - top) + g.shape[0] for t, _, g in placed),
        max(round(x - start) + g.shape[1] for _, x, g in placed),
    )
    layers = []
    for above, left, glyph in placed:
        layer = np.zeros(size, np.float32)
        y, x = round(above - top), round(left - start)
        layer[y : y + glyph.shape[0], x : x + glyph.shape[1]] = glyph
        layers.append(layer)
    return np.maximum.reduce(layers), layers


def wear(ink: Plane, pen: str, height: float, rng: np.random.Generator) -> Plane:
    """Return ink as a pen leaves it on paper.

    Args:
        ink: share of each pixel that the pen covers.
        pen: felt: even; pencil: with grain; ball: skips; chalk: with more grain.
        height: of a digit in pixels.
        rng: for the grain.
    """
    if pen == "felt":
        return ink
    shape = ink.shape
    fine = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 0.7)
    if pen == "pencil":
        cover = np.clip(0.75 + 0.35 * fine / fine.std() * 0.6, 0.2, 1)
    else:
        coarse = noise(shape, max(2.0, 0.12 * height), rng)
        if pen == "ball":
            cover = np.clip(1.1 - 0.45 * np.clip(coarse - 0.9, 0, 1.5), 0.45, 1)
        else:
            cover = np.clip(0.9 + 0.3 * fine / fine.std() - 0.2 * np.clip(coarse, 0, 2), 0.3, 1)
    result: Plane = ink * cover
    return result


def noise(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> Plane:
    """Return smooth noise with blobs of ``size`` pixels, mean 0 and standard deviation 1."""
    small = rng.standard_normal((max(2, round(shape[0] / size) + 2), max(2, round(shape[1] / size) + 2)), np.float32)
    large = np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    result: Plane = (large - large.mean()) / max(float(large.std()), 1e-6)
    return result


def _without_margin(ink: Plane) -> Plane:
    rows, columns = np.flatnonzero((ink > 0.3).any(axis=1)), np.flatnonzero((ink > 0.3).any(axis=0))
    if not rows.size:
        return ink
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
