"""Which training images are held out for validation."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mnist_lstm.mnist_format import CLASS_NAMES

STRETCH = 2000
"""Consecutive images that are held out together, of several writers: MNIST keeps the digits of a hand within some 200
places (tests/test_split.py measures it)."""


def stratified_split(labels: Tensor, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out ``size`` images so that every class keeps its share, to within one image.

    The draw uses NumPy's legacy generator, whose stream is frozen (NEP 19): the same seed gives the same split on
    every machine and with every version.

    Args:
        labels: int64 tensor ``(N,)``.
        size: how many to hold out, 0 to N - 1.
        seed: of the draw.

    Returns:
        The indices of the rest ``(N - size,)`` and of those held out ``(size,)``, each in ascending order.
    """
    classes = labels.numpy()
    counts = np.bincount(classes, minlength=len(CLASS_NAMES))
    exact = counts * size / len(classes)
    share = np.floor(exact).astype(int)
    # largest remainder method: the images that rounding down left over go to the classes that lost most by it
    share[np.argsort(share - exact, kind="stable")[: size - share.sum()]] += 1
    order = np.random.RandomState(seed).permutation(len(classes))
    return _parted(len(classes), np.concatenate([order[classes[order] == c][: share[c]] for c in range(len(share))]))


def writers_split(total: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Hold out ``size`` images in stretches of about `STRETCH`, so that few writers are on both sides.

    A network knows the hands that it was trained on. Where these are among those held out, validation is too
    optimistic about what it will make of new ones, such as those of the test images.

    Args:
        total: how many images there are, in the order of their writers.
        size: how many to hold out, 0 to total - 1.
        seed: of the places of the stretches, each of which lies in a part of its own of the training images.

    Returns:
        As `stratified_split`.
    """
    number = max(1, round(size / STRETCH))
    draw = np.random.RandomState(seed)
    held_out = []
    sizes = [len(own) for own in np.array_split(np.arange(size), number)]
    for part, own in zip(np.array_split(np.arange(total), number), sizes, strict=True):
        start = draw.randint(len(part) - own + 1)
        held_out.append(part[start : start + own])
    return _parted(total, np.concatenate(held_out))


def _parted(total: int, held_out: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    is_held_out = torch.zeros(total, dtype=torch.bool)
    is_held_out[held_out] = True
    return torch.nonzero(~is_held_out).flatten(), torch.nonzero(is_held_out).flatten()
