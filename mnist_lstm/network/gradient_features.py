"""Gradient features: how steeply the ink rises at each pixel in each of eight directions.

A step of an LSTM has separate weights for each column, so it must learn again for every place what a stroke does
between two rows. Gradient direction was among the best hand-made features of digits (Liu et al. 2003, "Handwritten
digit recognition: benchmarking of state-of-the-art techniques"). It is a fixed 3x3 convolution; nothing is learnt.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.format import PAPER

VALUES_PER_PIXEL = 9
"""The ink, and its slope in each of eight directions."""


def append_gradient_features(rows: Tensor) -> Tensor:
    """Append to each row the slope of its ink in eight directions.

    The slope at a pixel is half the difference of its two neighbours, across and down; outside of the image is paper.
    Its part in a direction is the projection on that direction where it is positive, 0 elsewhere.

    Rows are normalised floats ``(N, H, W)``; the result ``(N, H, 9 * W)`` is the rows, then the slopes to the right,
    the lower right, down, the upper right, the left, the upper left, up and the lower left.
    """
    around = F.pad(rows, (1, 1, 1, 1), value=PAPER)  # (N, H + 2, W + 2)
    right = (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]) / 2
    down = (around[:, 2:, 1:-1] - around[:, :-2, 1:-1]) / 2
    slopes = torch.cat([right, (right + down) * 0.5**0.5, down, (right - down) * 0.5**0.5], dim=2)  # (N, H, 4 * W)
    return torch.cat([rows, slopes.relu(), (-slopes).relu()], dim=2)
