"""The order in which an image is read: by rows, by columns, or pixel by pixel.

It belongs to the network, and checkpoints keep it; the images of a data set stay as they are.
"""

import functools
from typing import Literal

import numpy as np
import torch
from torch import Tensor

ScanOrder = Literal["rows", "columns", "pixels", "permuted"]

PERMUTATION_SEED = 2015
"""Of the one permutation that all networks use; another would be another task."""


def is_by_pixel(order: ScanOrder) -> bool:
    """Return whether a step is a single pixel."""
    return order in ("pixels", "permuted")


def to_sequence(images: Tensor, order: ScanOrder) -> Tensor:
    """Turn images ``(N, H, W)`` into sequences.

    Returns:
        ``(N, H, W)`` for rows, ``(N, W, H)`` for columns, ``(N, H * W, 1)`` for pixels, row by row (Le, Jaitly &
        Hinton 2015), and for permuted, in one fixed random order.
    """
    if order == "rows":
        return images
    if order == "columns":
        return images.transpose(1, 2)
    pixels = images.flatten(1)  # (N, H * W)
    if order == "permuted":
        pixels = pixels[:, permutation(pixels.shape[1], images.device)]
    return pixels.unsqueeze(2)


@functools.cache
def permutation(pixels: int, device: torch.device | None = None) -> Tensor:
    """Return the order of ``permuted`` on a device: int64 ``(pixels,)``, each number once."""
    # the stream of NumPy's legacy generator is frozen (NEP 19); PyTorch's generators give no such promise
    order = np.random.RandomState(PERMUTATION_SEED).permutation(pixels).astype(np.int64)
    return torch.from_numpy(order).to(device)
