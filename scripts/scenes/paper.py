"""What people write on: plain, ruled, squared and recycled paper, notes, envelopes, forms, boards.

Each function takes the height and width of the sheet in pixels, a generator, and the height of a digit in pixels, to
which lines and specks are in proportion; it returns the sheet under even light.
"""

import numpy as np
import numpy.typing as npt

from scenes.camera import Colours
from scenes.writing import Plane, noise

BLUE, BLACK, RED, GREEN = (0.1, 0.15, 0.5), (0.08, 0.08, 0.1), (0.65, 0.1, 0.12), (0.05, 0.35, 0.15)
PENCIL = (0.3, 0.3, 0.32)


def plain(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw white or grey paper with hardly any grain."""
    level = rng.uniform(0.72, 0.98)
    return _sheet(shape, level * np.array([1, rng.uniform(0.96, 1), rng.uniform(0.9, 1)]), 0.008, rng)


def ruled(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw paper with horizontal lines."""
    sheet = plain(shape, rng, height)
    return _lines(sheet, rng.uniform(1.2, 2.2) * height, 0, rng)


def squared(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw paper with a grid of squares."""
    sheet = plain(shape, rng, height)
    pitch = rng.uniform(0.5, 1.3) * height
    state = rng.bit_generator.state
    sheet = _lines(sheet, pitch, 0, rng)
    rng.bit_generator.state = state
    return _lines(sheet, pitch, 1, rng)


def recycled(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw grey paper with grain and specks."""
    sheet = _sheet(shape, rng.uniform(0.6, 0.8) * np.array([1, 0.97, 0.9]), rng.uniform(0.02, 0.04), rng)
    specks = noise(shape, max(1.5, 0.02 * height), rng)
    result: Colours = sheet * (1 - 0.12 * np.clip(specks - 2.4, 0, 1))[..., None]
    return result


def note(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw a sticky note: yellow, pink, green or blue."""
    colours = ((0.98, 0.93, 0.45), (0.98, 0.65, 0.75), (0.7, 0.92, 0.55), (0.6, 0.82, 0.95))
    return _sheet(shape, np.array(colours[rng.integers(4)]) * rng.uniform(0.85, 1), 0.01, rng)


def envelope(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw brown paper with fibres."""
    sheet = _sheet(shape, rng.uniform(0.6, 0.8) * np.array([1, 0.82, 0.58]), 0.02, rng)
    fibres = noise(shape, max(2.0, 0.06 * height), rng)
    return sheet * (1 + 0.03 * fibres)[..., None]


def chalkboard(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw a dark board with wiped chalk."""
    sheet = _sheet(shape, rng.uniform(0.12, 0.25) * np.array([0.8, 1, 0.85]), 0.015, rng)
    return sheet + (0.02 * np.clip(noise(shape, max(4.0, 1.5 * height), rng), -1, 2))[..., None]


def whiteboard(shape: tuple[int, int], rng: np.random.Generator, height: float) -> Colours:
    """Draw a white board with a reflection."""
    sheet = _sheet(shape, rng.uniform(0.8, 0.95) * np.array([0.97, 1, 1]), 0.004, rng)
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    glare = np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / rng.uniform(0.02, 0.2))
    result: Colours = np.clip(sheet + rng.uniform(0, 0.15) * glare[..., None], 0, 1).astype(np.float32)
    return result


PAPERS = {
    "plain": (plain, (BLUE, BLACK, PENCIL, RED, GREEN)),
    "ruled": (ruled, (BLUE, BLACK, PENCIL)),
    "squared": (squared, (BLUE, BLACK, PENCIL)),
    "recycled": (recycled, (BLUE, BLACK, PENCIL)),
    "coloured": (note, (BLUE, BLACK, PENCIL, RED)),
    "envelope": (envelope, (BLUE, BLACK)),
    "chalkboard": (chalkboard, ((0.92, 0.92, 0.88), (0.9, 0.85, 0.5))),
    "whiteboard": (whiteboard, (BLUE, BLACK, RED, GREEN)),
}
"""Name: what draws it, and the colours of the pens for it."""


def boxes(sheet: Colours, layers: list[Plane], rng: np.random.Generator) -> Colours:
    """Print a box around each digit, as on forms; ``layers`` has the ink of one digit each."""
    level = rng.uniform(0.1, 0.6)
    sheet = sheet.copy()
    found = [(np.flatnonzero(layer.any(axis=1)), np.flatnonzero(layer.any(axis=0))) for layer in layers]
    height = max(np.ptp(rows) for rows, _ in found)
    thick = max(1, round(rng.uniform(0.015, 0.05) * height))
    margin = rng.uniform(0.14, 0.3) * height  # at least 0.65 lie between two digits
    for rows, columns in found:
        top, bottom = int(rows[0] - margin), int(rows[-1] + margin)
        left, right = int(columns[0] - margin), int(columns[-1] + margin)
        for y0, y1, x0, x1 in (
            (top, top + thick, left, right), (bottom, bottom + thick, left, right + thick),
            (top, bottom, left, left + thick), (top, bottom, right, right + thick),
        ):  # fmt: skip
            sheet[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = level
    return sheet


def _sheet(shape: tuple[int, int], colour: npt.NDArray[np.float64], grain: float, rng: np.random.Generator) -> Colours:
    texture = 1 + grain * rng.standard_normal(shape, np.float32)
    return np.clip(colour.astype(np.float32) * texture[..., None], 0, 1).astype(np.float32)


def _lines(sheet: Colours, pitch: float, axis: int, rng: np.random.Generator) -> Colours:
    """Print lines across the sheet, ``pitch`` pixels apart."""
    thick = max(1, round(rng.uniform(0.01, 0.03) * pitch))
    colour = np.array(((0.55, 0.65, 0.85), (0.6, 0.6, 0.6), (0.8, 0.6, 0.6))[rng.integers(3)], np.float32)
    share = rng.uniform(0.4, 1)
    start = rng.uniform(0, pitch)
    sheet = sheet.copy()
    for at in np.arange(start, sheet.shape[axis], pitch):
        where = (slice(int(at), int(at) + thick),) if axis == 0 else (slice(None), slice(int(at), int(at) + thick))
        sheet[where] = sheet[where] * (1 - share) + colour * sheet[where] * share
    return sheet
