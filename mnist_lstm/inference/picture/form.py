"""Bring the ink of a digit into MNIST's form, and recognise images that have it already."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from mnist_lstm.data.format import BOX, SIZE, place
from mnist_lstm.inference.picture.ink import Grey
from mnist_lstm.inference.picture.morphology import Mask

Images = npt.NDArray[np.uint8]

# stroke widths, in pixels of the 20-pixel box, between which nearly all of MNIST lies; others are brought there
THINNEST, THICKEST = 1.25, 5.0


def is_mnist(images: Images) -> Mask:
    """Return which uint8 images ``(N, 28, 28)`` have MNIST's form: black ground, 20-pixel box, centre of mass centred.

    In all of MNIST the longer side is 19 or 20 pixels and the centre of mass at 13.5 to 14.5; the tolerance here is
    somewhat wider.
    """
    flat = images.reshape(len(images), -1)
    rows, columns = (images.sum(axis=axis, dtype=np.float32) for axis in (2, 1))  # (N, 28)
    height, width = (SIZE - at[:, ::-1].argmax(axis=1) - at.argmax(axis=1) for at in (rows > 0, columns > 0))
    side = np.maximum(height, width)
    mass = rows.sum(axis=1)
    pixel = np.arange(SIZE, dtype=np.float32)
    # no matrix product: NumPy's threads for it would compete with PyTorch's
    y, x = ((at * pixel).sum(axis=1) / np.maximum(mass, 1) for at in (rows, columns))
    centred = (abs(y - SIZE / 2) <= 1.25) & (abs(x - SIZE / 2) <= 1.25)
    # an inverted image has ink everywhere, an empty one nowhere
    inked = (mass > 0) & (flat.max(axis=1) > 127) & (np.count_nonzero(flat, axis=1) < 0.6 * SIZE**2)
    result: Mask = inked & centred & (side >= BOX - 2) & (side <= BOX + 1)
    return result


def stroke_width(mask: Mask) -> float:
    """Return the median width of the strokes in pixels: twice the distance from their middle line to the paper."""
    distance = _distance(np.pad(mask, 1))
    ridge = (distance > 0) & (distance == cv2.dilate(distance, np.ones((3, 3), np.uint8)))
    return 2 * float(np.median(distance[ridge])) - 1


def to_mnist(ink: Grey) -> Images:
    """Bring the ink of a digit, 0 to 1, to MNIST's size, stroke width and position: a uint8 array ``(28, 28)``."""
    fine = 4  # strokes are measured and redrawn on a grid with this many pixels per pixel of the result
    height, width = ink.shape
    scale = fine * BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn: npt.NDArray[np.floating] = np.pad(_resize(ink, size), 3 * fine)
    # a hair line fades when it is reduced
    drawn = drawn / min(1.0, max(0.05, float(np.percentile(drawn[drawn > 0.04], 80)))) if drawn.max() > 0.04 else drawn
    mask = drawn > 0.5
    if mask.any():
        stroke = stroke_width(mask) / fine
        wanted = min(max(stroke, THINNEST), THICKEST)
        if stroke != wanted:
            outside, inside = _distance(~mask), _distance(mask)
            edge = outside - inside + np.where(mask, 0.5, -0.5)  # distance to the stroke's edge, negative within
            drawn = 0.5 + ((wanted - stroke) / 2 * fine - edge) / fine
    drawn = np.clip(drawn, 0, 1)
    levels = np.rint(255 * np.where(drawn < 0.06, 0, drawn)).astype(np.uint8)
    return place(levels) if levels.any() else np.zeros((SIZE, SIZE), np.uint8)


def _distance(mask: Mask) -> Grey:
    """Return the distance of each pixel of the mask to the nearest pixel outside it."""
    result: Grey = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return result


def _resize(ink: Grey, size: tuple[int, int]) -> Grey:
    return np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC))
