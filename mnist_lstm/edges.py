"""Show the network the edges of strokes by their direction, beside the ink itself.

A step of an LSTM weighs its numbers and adds them up, so what a stroke does between two rows or two columns it has to
learn for every place anew. The slope of the ink, sorted by direction, was among the best hand-made features of digits
before features were learnt (Liu et al. 2003, "Handwritten digit recognition: benchmarking of state-of-the-art
techniques"). Nothing in it is learnt here either.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.mnist_format import PAPER

DIRECTIONS = 8
"""Two sideways, two up and down, and the four diagonals."""

PER_PIXEL = 1 + DIRECTIONS
"""Numbers a pixel: the ink, and how steeply it rises in each direction."""


def with_edges(rows: Tensor) -> Tensor:
    """Put behind each row how its ink rises in eight directions.

    The slope at a pixel is half the difference of its two neighbours, sideways and downwards; its part in a direction
    is the projection on it where that is positive, and 0 elsewhere.

    Args:
        rows: float tensor ``(N, H, W)`` as `mnist_format.normalise` makes it; paper is all around.

    Returns:
        ``(N, H, 9 * W)`` of the same type: the rows, then their slope to the right, to the lower right, downwards and
        to the upper right, then to the left, to the upper left, upwards and to the lower left.
    """
    around = F.pad(rows, (1, 1, 1, 1), value=PAPER)
    right = (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]) / 2
    down = (around[:, 2:, 1:-1] - around[:, :-2, 1:-1]) / 2
    slopes = torch.cat([right, (right + down) * 0.5**0.5, down, (right - down) * 0.5**0.5], dim=2)
    return torch.cat([rows, slopes.relu(), (-slopes).relu()], dim=2)
