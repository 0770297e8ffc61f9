"""Which training images are held out for validation.

Both splits draw from NumPy's legacy generator, whose stream is frozen (NEP 19): the same seed gives the same split on
every machine and with every version. Both return the indices of the rest ``(N - size,)`` and of the held-out images
``(size,)``, ascending.
"""

import numpy as np
import numpy.typing as npt

from mnist_lstm.data.format import CLASS_NAMES

Indices = npt.NDArray[np.int64]

STRETCH = 2000
"""Consecutive images held out together, of several writers: MNIST keeps a writer's digits within some 200 places of
each other (tests/data/test_splits.py measures it)."""


def stratified_split(labels: Indices, size: int, seed: int) -> tuple[Indices, Indices]:
    """Hold out ``size`` images, 0 to N - 1, so that every class keeps its share, to within one image."""
    counts = np.bincount(labels, minlength=len(CLASS_NAMES))
    exact = counts * size / len(labels)
    share = np.floor(exact).astype(int)
    # largest remainder method: rounding down leaves some over; they go to the classes that lost most by it
    share[np.argsort(share - exact, kind="stable")[: size - share.sum()]] += 1
    order = np.random.RandomState(seed).permutation(len(labels))
    return _partition(len(labels), np.concatenate([order[labels[order] == c][: share[c]] for c in range(len(share))]))


def writers_split(total: int, size: int, seed: int) -> tuple[Indices, Indices]:
    """Hold out ``size`` images, 0 to total - 1, in stretches of about `STRETCH`, so that few writers are on both sides.

    A network knows the hands it was trained on. If the same hands are validated on, accuracy is too optimistic about
    new ones, such as those of the test set. Images are ordered by writer; each stretch lies in a part of its own.
    """
    number = max(1, round(size / STRETCH))
    draw = np.random.RandomState(seed)
    held_out = []
    sizes = [len(stretch) for stretch in np.array_split(np.arange(size), number)]
    for part, length in zip(np.array_split(np.arange(total), number), sizes, strict=True):
        start = draw.randint(len(part) - length + 1)
        held_out.append(part[start : start + length])
    return _partition(total, np.concatenate(held_out))


def _partition(total: int, held_out: Indices) -> tuple[Indices, Indices]:
    return np.setdiff1d(np.arange(total), held_out), np.sort(held_out)
