"""Draw digits with a pen of any width on any ground, as pictures for the tests."""

import numpy as np
from PIL import Image, ImageDraw

# pen strokes of each digit in a box of 1 x 1.5, y downwards
STROKES: dict[int, list[list[tuple[float, float]]]] = {
    1: [[(0.55, 0.0), (0.5, 0.75), (0.45, 1.5)]],
    2: [[(0.1, 0.3), (0.3, 0.05), (0.7, 0.05), (0.85, 0.35), (0.7, 0.7), (0.35, 1.1), (0.05, 1.45), (0.95, 1.45)]],
    3: [
        [(0.1, 0.15), (0.5, 0.0), (0.85, 0.3), (0.7, 0.6), (0.4, 0.7)],
        [(0.4, 0.7), (0.8, 0.85), (0.9, 1.15), (0.55, 1.5), (0.05, 1.35)],
    ],
    4: [[(0.3, 0.0), (0.05, 0.9), (0.95, 0.9)], [(0.75, 0.3), (0.7, 1.5)]],
    7: [[(0.05, 0.1), (0.9, 0.1), (0.6, 0.8), (0.4, 1.5)]],
}


def draw(
    digit: int,
    *,
    height: float = 90,
    width: float = 9,
    size: tuple[int, int] = (200, 160),
    at: tuple[float, float] | None = None,
    ink: int = 30,
    paper: int = 235,
) -> np.ndarray:
    """Draw a digit ``height`` pixels tall with a stroke of ``width`` pixels.

    Args:
        digit: a key of `STROKES`.
        height: of the digit, in pixels.
        width: of the pen, in pixels.
        size: height and width of the picture.
        at: top and left of the digit; default: centred.
        ink: grey level of the pen, 0 to 255.
        paper: grey level of the ground, 0 to 255.

    Returns:
        uint8 array ``(height, width)``.
    """
    fine = 4
    scale = height / 1.5
    top, left = at or ((size[0] - height) / 2, (size[1] - scale) / 2)
    mask = Image.new("L", (size[1] * fine, size[0] * fine))
    pen = ImageDraw.Draw(mask)
    radius = width * fine / 2
    for stroke in STROKES[digit]:
        points = [((left + x * scale) * fine, (top + y * scale) * fine) for x, y in stroke]
        pen.line(points, fill=255, width=round(2 * radius), joint="curve")
        for x, y in points:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)
    share = np.asarray(mask.resize((size[1], size[0]), Image.Resampling.BOX), dtype=float) / 255
    return np.rint(paper + (ink - paper) * share).astype(np.uint8)


def paper(size: tuple[int, int], seed: int = 0, *, shade: float = 0.2, noise: float = 0.01) -> np.ndarray:
    """Return an unevenly lit sheet of paper: float array ``(height, width)``, 0 to 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-0.5 : 0.5 : size[0] * 1j, -0.5 : 0.5 : size[1] * 1j]
    slope_y, slope_x = rng.uniform(-1, 1, 2)
    return 0.8 * (1 + shade * (slope_y * y + slope_x * x)) + rng.normal(0, noise, size)
