"""Find the digits in a picture and bring each into MNIST's form.

    grey levels ─▶ ink on its ground ─▶ threshold ─▶ connected parts ─▶ digits ─▶ 20-pixel box, centred by mass

Nothing here knows what a digit looks like; that is the network's task. The assumptions are about writing: strokes are
narrow, most of the picture is paper, its light changes slowly or at the edge of a shadow, and ink along the edge of a
picture rarely belongs to the digit.
"""

import numpy as np

from mnist_lstm.inference.picture import ground
from mnist_lstm.inference.picture.components import is_writing, segment
from mnist_lstm.inference.picture.layout import Images, is_mnist, stroke_width, to_mnist

__all__ = ["Images", "find_digits", "is_mnist"]

WIDEST_STROKE = 0.4  # width of the widest stroke, as a share of the picture's longer side


def find_digits(grey: ground.Grey) -> list[Images]:
    """Find the digits in a picture, from left to right, each as an MNIST image, uint8 ``(28, 28)``; none without ink.

    The picture is float32, 0 (black) to 1 (white), with digits dark on light or light on dark.
    """
    if min(grey.shape) < 3 or float(np.ptp(grey)) < ground.MIN_CONTRAST / 2:
        return []
    grey = ground.remove_salt_and_pepper(ground.crop_to_sheet(grey))
    light, level = ground.polarity(grey)
    # in uneven light the narrower filter follows the ground better, unless it swallows the strokes
    uneven = level is None and max(grey.shape) >= ground.GROUND_SIDE
    for widest in (0.15, WIDEST_STROKE) if uneven else (WIDEST_STROKE,):
        ink, floor = ground.subtract_paper(ground.measure_ink(grey, light, level, widest))
        digits = segment(ink, floor)
        if digits and stroke_width(digits[0].mask) < 0.5 * widest * max(grey.shape):
            break
    if not digits or not is_writing(digits, ink, floor, level is not None):
        return []
    return [to_mnist(digit.cut(ink)) for digit in digits]
