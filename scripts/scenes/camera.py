"""What light and a camera do to a sheet: shadows, a table around it, perspective, blur, noise, compression."""

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from scenes.writing import Plane, noise

Colours = npt.NDArray[np.float32]
"""Float32 array ``(height, width, 3)``, 0 to 1."""


def light(shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Return the brightness of uneven light: slope, vignette, the edge of a shadow, a flash.

    Args:
        shape: height and width in pixels.
        rng: for what light it is.

    Returns:
        Float32 array of that shape, about 0.3 to 1.3.
    """
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    result = 1 + rng.uniform(0, 0.3) * (math.cos(angle) * x + math.sin(angle) * y)
    if rng.random() < 0.5:
        result *= 1 - rng.uniform(0.05, 0.3) * (x**2 + y**2) / 2
    if rng.random() < 0.35:  # of a hand, a phone or a window frame
        angle, at, soft = rng.uniform(0, 2 * math.pi), rng.uniform(-0.5, 0.8), rng.uniform(0.01, 0.3)
        side = (math.cos(angle) * x + math.sin(angle) * y - at + 0.05 * noise(shape, shape[0] / 3, rng)) / soft
        result *= 1 - rng.uniform(0.2, 0.55) / (1 + np.exp(np.clip(-4 * side, -30, 30)))
    if rng.random() < 0.12:  # a flash
        far = (x - rng.uniform(-0.6, 0.6)) ** 2 + (y - rng.uniform(-0.6, 0.6)) ** 2
        result += rng.uniform(0.1, 0.3) * np.exp(-far / rng.uniform(0.1, 0.5))
    brightness: Plane = result.astype(np.float32)
    return brightness


def table(shape: tuple[int, int], rng: np.random.Generator, *, dark: bool | None = None) -> Colours:
    """Draw the surface of a table: wood with a grain, cloth, or one colour.

    Args:
        shape: height and width in pixels.
        rng: for colour and texture.
        dark: darker than paper; None: three times in four.
    """
    dark = bool(rng.random() < 0.75) if dark is None else dark
    base = rng.uniform(0.08, 0.4) if dark else rng.uniform(0.45, 0.6)
    colour = base * np.array([1, rng.uniform(0.7, 1), rng.uniform(0.45, 1)], np.float32)
    texture = np.zeros(shape, np.float32)
    kind = rng.integers(3)
    if kind == 0:
        texture = noise((shape[0], 8), max(2.0, shape[0] / 60), rng).mean(axis=1, keepdims=True) * np.ones(
            shape, np.float32
        )
        texture = texture + 0.5 * noise(shape, max(2.0, shape[0] / 10), rng)
    elif kind == 1:
        texture = rng.standard_normal(shape, np.float32)
    return np.clip(colour * (1 + rng.uniform(0.03, 0.12) * texture[..., None]), 0, 1).astype(np.float32)


def put_on_table(sheet: Colours, shape: tuple[int, int], share: float, rng: np.random.Generator) -> Colours:
    """Photograph a sheet on a table at an angle.

    Args:
        sheet: seen from above.
        shape: height and width of the photo.
        share: of the photo's sides that the sheet takes; above 1 it is cut off at the edges.
        rng: for the place and angle.
    """
    height, width = shape
    scale = share * min(height / sheet.shape[0], width / sheet.shape[1])
    half = np.array([sheet.shape[1], sheet.shape[0]]) * scale / 2
    turn = rng.normal(0, 0.12)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    corners = corners @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    # farther parts are smaller: divide by a depth that grows towards one side
    tilt = rng.normal(0, 0.12, 2) / np.array([width, height])
    corners = corners / (1 + corners @ tilt)[:, None]
    room = np.maximum(np.array([width, height]) / 2 - np.abs(corners).max(axis=0), 0)
    corners = corners + np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room
    source = [(0, 0), (sheet.shape[1], 0), (sheet.shape[1], sheet.shape[0]), (0, sheet.shape[0])]
    coefficients = _homography([(float(x), float(y)) for x, y in corners], source)
    picture = Image.fromarray(np.rint(255 * np.clip(sheet, 0, 1)).astype(np.uint8))
    fill = Image.Transform.PERSPECTIVE
    warped = picture.transform((width, height), fill, coefficients, Image.Resampling.BICUBIC)
    mask = Image.new("L", picture.size, 255).transform((width, height), fill, coefficients, Image.Resampling.BILINEAR)
    cover = np.asarray(mask, np.float32)[..., None] / np.float32(255)
    surface = table(shape, rng)
    if rng.random() < 0.5:  # the sheet's shadow on the table
        moved = np.roll(cover, rng.integers(1, 6, 2), axis=(0, 1))
        surface = surface * (1 - np.float32(0.4) * moved)
    photo = np.asarray(warped, np.float32) / np.float32(255) * cover + surface * (1 - cover)
    return photo.astype(np.float32)


def put_objects(photo: Colours, free: npt.NDArray[np.bool_], rng: np.random.Generator) -> Colours:
    """Put a dark object or a finger into a corner or along an edge.

    Args:
        photo: without it.
        free: bool array ``(height, width)``, where nothing is written.
        rng: for size, place and colour.

    Returns:
        The photo with the object, or without any if 20 places were not free.
    """
    height, width = photo.shape[:2]
    for _ in range(20):
        mask = Image.new("L", (width, height))
        pen = ImageDraw.Draw(mask)
        w, h = rng.uniform(0.1, 0.5) * width, rng.uniform(0.08, 0.3) * height
        x, y = (rng.choice([-0.1 * w, width - 0.9 * w]), rng.choice([-0.1 * h, height - 0.9 * h]))
        if rng.random() < 0.3:  # along an edge
            x = rng.uniform(0, width - w)
        pen.rounded_rectangle([x, y, x + w, y + h], radius=float(rng.uniform(0.05, 0.5)) * min(w, h), fill=255)
        cover = np.asarray(mask)
        if not (cover.astype(bool) & ~free).any():
            colour = rng.uniform(0.03, 0.2) * np.ones(3) if rng.random() < 0.6 else np.array([0.75, 0.55, 0.45])
            share = cover[..., None] / np.float32(255)
            return (photo * (1 - share) + colour.astype(np.float32) * share).astype(np.float32)
    return photo


def expose(photo: Colours, rng: np.random.Generator, *, blur: float, grain: float, quality: int | None) -> Image.Image:
    """Turn light into a picture as a camera or scanner saves it.

    Args:
        photo: what falls on the sensor; values beyond 0 and 1 are clipped.
        rng: for the grain.
        blur: standard deviation in pixels.
        grain: standard deviation of the noise, as a share of white.
        quality: of the JPEG compression, 1 to 95; None: none.
    """
    if blur > 0:
        photo = ndimage.gaussian_filter(photo, (blur, blur, 0))
    if grain > 0:
        photo = photo + grain * rng.standard_normal(photo.shape, np.float32)
    image = Image.fromarray(np.rint(255 * np.clip(photo, 0, 1)).astype(np.uint8))
    if quality is None:
        return image
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def _homography(start: list[tuple[float, float]], end: list[tuple[float, float]]) -> list[float]:
    """Return the eight coefficients that map the corners ``start`` to ``end``, as Pillow takes them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(start, end, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(c) for c in np.linalg.solve(np.array(rows), np.array(values))]
