"""In which order a picture is read: by rows, by columns, or pixel by pixel.

The pictures of a data set stay what they are; the order belongs to the network, and a checkpoint keeps it.
"""

import functools
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Scan = Literal["rows", "columns", "pixels", "permuted"]

SCANS: tuple[Scan, ...] = ("rows", "columns", "pixels", "permuted")

PERMUTATION_SEED = 2015
"""Of the one permutation that all networks read by; another would be another task."""


def is_by_pixel(order: Scan) -> bool:
    """Tell whether a step is a single pixel."""
    return order in ("pixels", "permuted")


def scan(images: Tensor, order: Scan) -> Tensor:
    """Turn pictures into sequences.

    Args:
        images: ``(N, H, W)``.
        order: rows: from the top, each from the left to the right. columns: from the left, each from the top to the
            bottom. pixels: one pixel after the other, row by row (Le, Jaitly & Hinton 2015, "A simple way to initialize
            recurrent networks of rectified linear units"). permuted: one pixel after the other in an order drawn once
            at random, the same for all.

    Returns:
        ``(N, H, W)``, ``(N, W, H)``, or ``(N, H * W, 1)`` for the last two.
    """
    if order == "columns":
        return images.transpose(1, 2)
    if not is_by_pixel(order):
        return images
    pixels = images.flatten(1)
    if order == "permuted":
        pixels = pixels[:, permutation(pixels.shape[1]).to(images.device)]
    return pixels.unsqueeze(2)


@functools.cache
def permutation(pixels: int) -> Tensor:
    """Return the order of ``permuted``: an int64 tensor with each number below ``pixels`` once."""
    # NumPy promises the numbers of this old generator for good, PyTorch those of none
    return torch.from_numpy(np.random.RandomState(PERMUTATION_SEED).permutation(pixels).astype(np.int64))
