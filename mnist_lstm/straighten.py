"""Bring handwritten digits upright and into the middle: how they lean and lie tells nothing about which they are.

A convolution finds a stroke wherever it lies, but an LSTM that reads rows has weights of its own for every column. So
it gains more than other networks from digits that lean and lie alike (LeCun et al. 1998, "Gradient-based learning
applied to document recognition", section III, call it deslanting).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.mnist_format import PAPER

MAX_SLANT = 1.0
"""Pixels a row; a line that is nearly flat is no slanted digit."""


def straighten(images: Tensor) -> Tensor:
    """Shift and shear images so that the centre of their ink is in the middle and its main axis upright.

    The slant is the covariance of columns and rows of the ink, divided by the variance of its rows; rows are moved
    sideways against each other by it, and resampled by bicubic interpolation.

    Args:
        images: float tensor ``(N, H, W)`` as `mnist_format.normalise` makes it.

    Returns:
        float32 tensor of the same shape. Images without ink stay without.
    """
    ink = images.float() - PAPER  # paper is 0, also beyond the edge
    height, width = ink.shape[1:]
    x = torch.arange(width, device=ink.device) - (width - 1) / 2  # (W,), from the middle
    y = torch.arange(height, device=ink.device) - (height - 1) / 2  # (H,)
    # sums of products rather than matrix products, which mixed precision would round to bfloat16
    weight = ink.clamp(min=0)
    weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    columns, rows = weight.sum(dim=1), weight.sum(dim=2)  # (N, W), (N, H)
    centre_x, centre_y = (columns * x).sum(dim=1), (rows * y).sum(dim=1)  # (N,)
    above = y - centre_y.unsqueeze(1)  # (N, H)
    covariance = (weight * (x - centre_x.view(-1, 1, 1)) * above.unsqueeze(2)).sum(dim=(1, 2))
    variance = (rows * above.square()).sum(dim=1)
    slant = (covariance / variance.clamp(min=1)).clamp(-MAX_SLANT, MAX_SLANT)

    from_x = centre_x.view(-1, 1, 1) + x + slant.view(-1, 1, 1) * y.unsqueeze(1)  # (N, H, W)
    from_y = (centre_y.view(-1, 1, 1) + y.unsqueeze(1)).expand_as(from_x)
    grid = torch.stack([from_x * (2 / width), from_y * (2 / height)], dim=3)  # (N, H, W, 2), edges at -1 and 1
    return F.grid_sample(ink.unsqueeze(1), grid, mode="bicubic", align_corners=False).squeeze(1) + PAPER
