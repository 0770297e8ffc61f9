"""The format of an MNIST image: size, classes, grey levels and placement of the digit.

Training, classification and figures all use these definitions, so that the images of training and inference match.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 28
"""Height and width of an image in pixels; an LSTM reads SIZE rows of SIZE pixels."""

BOX = 20
"""The longer side of a digit's bounding box in pixels (LeCun et al. 1998: "a 20x20 pixel box")."""

CLASS_NAMES = tuple("0123456789")

NO_DIGIT = -1
"""Label of an image that is no digit."""

MEAN = 0.1307
STD = 0.3081
"""Mean and standard deviation of the 60,000 training images, as grey levels from 0 (paper) to 1 (ink)."""

PAPER = float(np.float32(-MEAN / STD))
"""Grey level of paper after `normalise`, exactly: padding with it adds no gradient, not even in float64."""


def normalise(images: "Tensor") -> "Tensor":
    """Convert grey levels, 0 (paper) to 255 (ink), to the input of the network, on their device.

    Returns a new float32 tensor, with mean 0 and standard deviation 1 over MNIST's training images.
    """
    import torch  # not at the top: pictures are read without it, and it takes a second to import

    return images.to(torch.float32, copy=True).mul_(1 / (255 * STD)).sub_(MEAN / STD)


def place(ink: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Place a digit as MNIST does: scaled to a 20-pixel box, its centre of mass at the centre of 28x28 pixels.

    ``ink`` is uint8 ``(height, width)``, 0 for paper; raises ValueError if there is none.
    """
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        raise ValueError("there is no ink in the picture")
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    digit = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC), dtype=np.uint8)

    # the centre of mass of all 70,000 MNIST images is at 13.5 to 14.5, counting pixels from 0
    y, x = (float(np.average(np.arange(n), weights=digit.sum(axis=1 - axis))) for axis, n in enumerate(digit.shape))
    top = min(max(round(SIZE / 2 - y), 0), SIZE - height)
    left = min(max(round(SIZE / 2 - x), 0), SIZE - width)
    image = np.zeros((SIZE, SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = digit
    return image
