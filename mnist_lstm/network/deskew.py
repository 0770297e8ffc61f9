"""Deskew images: shear each one so that its main axis is upright, and centre it.

A convolution finds a stroke wherever it lies; an LSTM that reads rows has separate weights for each column, so it gains
more from digits with the same slant and position. LeCun et al. 1998, "Gradient-based learning applied to document
recognition", section III, call it deslanting.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.format import PAPER

MAX_SLANT = 1.0
"""Columns per row; a nearly horizontal line is not a slanted digit."""


def deskew(images: Tensor) -> Tensor:
    """Centre each image on its ink and remove its slant.

    Images ``(N, H, W)`` are normalised; the result is float32. The slant is the covariance of the ink's columns and
    rows over the variance of its rows. Resampling is bicubic. Images without ink stay as they are.
    """
    ink = images.float() - PAPER  # paper is 0, also beyond the border
    height, width = ink.shape[1:]
    x = torch.arange(width, device=ink.device) - (width - 1) / 2  # (W,), from the middle
    y = torch.arange(height, device=ink.device) - (height - 1) / 2  # (H,)
    # sums of products: mixed precision would round matrix products to bfloat16
    weight = ink.clamp(min=0)
    weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    columns, rows = weight.sum(dim=1), weight.sum(dim=2)  # (N, W), (N, H)
    centre_x, centre_y = (columns * x).sum(dim=1), (rows * y).sum(dim=1)  # (N,)
    above = y - centre_y.unsqueeze(1)  # (N, H)
    covariance = (weight * (x - centre_x.view(-1, 1, 1)) * above.unsqueeze(2)).sum(dim=(1, 2))  # (N,)
    variance = (rows * above.square()).sum(dim=1)  # (N,)
    slant = (covariance / variance.clamp(min=1)).clamp(-MAX_SLANT, MAX_SLANT)

    from_x = centre_x.view(-1, 1, 1) + x + slant.view(-1, 1, 1) * y.unsqueeze(1)  # (N, H, W)
    from_y = (centre_y.view(-1, 1, 1) + y.unsqueeze(1)).expand_as(from_x)
    grid = torch.stack([from_x * (2 / width), from_y * (2 / height)], dim=3)  # (N, H, W, 2), borders at -1 and 1
    return F.grid_sample(ink.unsqueeze(1), grid, mode="bicubic", align_corners=False).squeeze(1) + PAPER
