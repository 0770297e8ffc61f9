"""From colours to grey levels, so that ink of any colour can be told from its ground."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Levels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""Grey levels ``(height, width)``: uint8 from 0 (black) to 255 (white), or float32 from 0 to 1."""

Colours = npt.NDArray[np.uint8]  # (height, width, 3)
Plane = npt.NDArray[np.uint8]  # (height, width)

CLEARER = 1.4  # how much more contrast a single channel must have
PALE, STRONG = 30, 80  # of 255: darkness of pale ink at most, and of ink that is plain in one channel at least
FEW = 0.001  # share of a picture that is pale ink at least


def to_grey(image: Image.Image) -> Levels:
    """Convert a picture of mode L, RGB, RGBA or F to grey levels with good contrast between ink and ground."""
    if image.mode in ("L", "F"):
        return np.asarray(image)
    if image.mode == "RGBA":
        image = _flatten(image)
    colours, luminance = np.asarray(image), np.asarray(image.convert("L"))
    # yellow on white, or red on green, is visible in one channel and hardly in the luminance
    channel: Plane = max(np.moveaxis(colours, -1, 0), key=_contrast)
    if _contrast(channel) > CLEARER * _contrast(luminance):
        return channel
    return _with_pale_ink(colours, luminance)


def _contrast(levels: Plane) -> float:
    low, high = np.percentile(levels, (0.5, 99.5))
    return float(high - low)


def _with_pale_ink(colours: Colours, luminance: Plane) -> Plane:
    """Return the luminance, or the darkest channel of each pixel if some ink is pale and other ink is dark.

    Yellow, cyan or light green beside blue: the luminance would show the blue alone. On a dark ground it is the
    brightest channel. Text that is marked with a yellow pen is left as it is: the mark would hide it.
    """
    is_light = np.median(luminance[::4, ::4]) > 127
    strongest = colours.min(axis=2) if is_light else colours.max(axis=2)
    ground = [float(np.median(levels[::4, ::4])) for levels in (luminance, strongest)]
    ink, plain = (
        (level - levels.astype(np.float32)) * (1 if is_light else -1)
        for level, levels in zip(ground, (luminance, strongest), strict=True)
    )
    pale = (plain > STRONG) & (abs(ink) < PALE)
    if pale.mean() < FEW:
        return luminance
    dark = (ink > STRONG).astype(np.uint8)
    rim = cv2.dilate(dark, np.ones((7, 7), np.uint8)) - dark
    is_marked = rim.any() and pale[rim > 0].mean() > 0.25
    return luminance if is_marked else strongest


def _flatten(image: Image.Image) -> Image.Image:
    """Put a transparent picture on a ground that contrasts with its ink."""
    alpha = np.asarray(image.getchannel("A"))
    if alpha.min() == 255:
        return image.convert("RGB")
    luminance = np.asarray(image.convert("RGB").convert("L"))
    opaque = luminance[alpha > 127]
    if opaque.size > 0.3 * alpha.size and np.subtract(*np.percentile(opaque, (95, 5))) > 64:
        ground = int(np.median(opaque))  # the opaque part includes paper, as in a sticker with round corners
    else:
        ground = 255 if not opaque.size or opaque.mean() < 128 else 0
    paper = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    paper.alpha_composite(image)
    return paper.convert("RGB")
