"""Find the digits in pictures, many of MNIST's size at once, and put pictures together for the network."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mnist_lstm.data.format import SIZE
from mnist_lstm.errors import InputError
from mnist_lstm.inference.arrays import read_any
from mnist_lstm.inference.colour import Levels
from mnist_lstm.inference.picture import Images, Line, Page, Writing, find_writing, is_mnist

# images per forward pass; twice as many exceed the CPU's caches, which takes the package's network half as long again
BATCH_SIZE = 250
OPEN = 8  # pictures of which other findings may be asked for; each holds some 40 MB until it is read


def prepare(levels: Levels) -> Writing:
    """Find the lines of digits in a picture."""
    if _is_mnist_sized(levels):
        return next(prepare_mnist_sized(levels[np.newaxis].astype(np.uint8, copy=False)))
    grey = levels.astype(np.float32)
    return find_writing(grey / np.float32(255) if levels.dtype == np.uint8 else grey)


def _is_mnist_sized(levels: Levels) -> bool:
    return levels.shape == (SIZE, SIZE) and levels.dtype == np.uint8


def prepare_mnist_sized(images: Images) -> Iterator[Writing]:
    """Do the same for pictures ``(N, 28, 28)`` at once; those in MNIST's form stay as they are."""
    for image, in_form in zip(images, is_mnist(images), strict=True):
        yield Writing(Page([Line.of(image)])) if in_form else find_writing(image.astype(np.float32) / np.float32(255))


def prepare_all(pictures: Iterator[Any]) -> Iterator[Writing]:
    """Read and prepare pictures of any kind; those of MNIST's size that follow one another at once."""
    for is_small, several in itertools.groupby(_read_all(pictures), _is_mnist_sized):
        if is_small:
            while batch := list(itertools.islice(several, BATCH_SIZE)):
                yield from prepare_mnist_sized(np.stack(batch))
        else:
            yield from map(prepare, several)


def _read_all(pictures: Iterator[Any]) -> Iterator[Levels]:
    for number, picture in enumerate(pictures):
        try:
            yield read_any(picture)[0]
        except InputError as error:
            name = picture if isinstance(picture, (str, Path)) else f"picture {number}"
            raise InputError(f"{name}: {error}") from error


def in_batches(found: Iterator[Writing]) -> Iterator[list[Writing]]:
    """Put pictures together, as many as the network reads at once and memory holds."""
    batch: list[Writing] = []
    opened = 0
    for writing in found:
        batch.append(writing)
        opened += writing.others is not None
        if len(batch) == BATCH_SIZE or opened == OPEN:
            yield batch
            batch, opened = [], 0
    if batch:
        yield batch
