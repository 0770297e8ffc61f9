"""`Classifier`: pictures in, digits out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from mnist_lstm.errors import InputError
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.checkpoint import build_network, read_checkpoint
from mnist_lstm.inference.picture import Images, find_digits, is_mnist
from mnist_lstm.inference.reading import Levels, mnist_sized, pictures_in, read_any
from mnist_lstm.mnist_format import CLASS_NAMES, SIZE, normalise
from mnist_lstm.model import RowLSTM

Status = Literal["ok", "unsure", "empty", "several", "error"]

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "weights.ckpt"
"""The weights that come with the package; ``card.json`` beside them says how they were made."""

BATCH_SIZE = 250
"""Images that go through the network at once; twice as many no longer fit into the caches, which costs half as much
time again with the weights of the package."""

FEW = 200
"""Up to here one thread is faster than several, which would have to wake up for every step of the sequence."""


_NONE: Images = np.zeros((0, SIZE, SIZE), dtype=np.uint8)
_NONE.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about a picture.

    Attributes:
        digit: 0 to 9, or the digits as a string such as "10" if they were to be split; None if there is none.
        probability: of that digit, 0 to 1; of several, that all are right, if they are independent. None without one.
        probabilities: of the digits 0 to 9; of several, such a tuple for each; None without a digit.
        status: ok; unsure: the probability is below the threshold; empty: there is nothing in the picture; several:
            it holds several digits, and they were not to be split; error: it could not be read.
        message: what is the matter, if the status is not ok.
        seen: uint8 array ``(digits, 28, 28)``, what the network saw.
    """

    digit: int | str | None
    probability: float | None
    probabilities: tuple[float, ...] | tuple[tuple[float, ...], ...] | None
    status: Status
    message: str = ""
    seen: Images = field(default_factory=lambda: _NONE, repr=False, compare=False)


class Classifier:
    """A trained network that takes any picture of a digit.

    Args:
        network: turns ``(N, 28, 28)`` normalised images into ``(N, 10)`` logits.
        threshold: probability, 0 to 1, below which a prediction is unsure.

    Raises:
        InputError: the threshold is out of its range.
    """

    def __init__(self, network: RowLSTM, threshold: float = THRESHOLD) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: must be between 0 and 1")
        self.network = network.eval()
        self.threshold = threshold

    def __call__(self, images: Any, *, split: bool = False) -> Any:
        """Name the digit in each picture.

        Args:
            images: one or many. One: a path, a PIL image, an array ``(height, width)`` or ``(height, width, 3 or 4)``,
                a tensor ``(height, width)``. Many: a list or another iterable of these (and of tensors ``(C, height,
                width)``), an array or tensor ``(N, height, width)``, an array ``(N, height, width, C)``, a tensor
                ``(N, C, height, width)``; C channels are 1 (grey), 3 (RGB) or 4 (RGBA). Values are bool, whole
                numbers up to 255 or 65,535, or floats from 0 to 1 or to 255. Digits are dark on light or light on
                dark, of any size. Images ``(28, 28)`` that look like MNIST's go to the network as they are.
            split: Read several digits in a picture, from left to right, as a string.

        Returns:
            A `Prediction` for one picture, a list of them, in order, for many.

        Raises:
            InputError: this is no picture, or one cannot be read; the message says which.
        """
        ready = mnist_sized(images)
        if ready is not None:
            parts = np.split(ready, range(BATCH_SIZE, len(ready), BATCH_SIZE))
            return [prediction for part in parts for prediction in self.predict(part, split=split)]
        pictures, single = pictures_in(images)
        predictions: list[Prediction] = []
        batch: list[Levels | list[Images]] = []
        for levels in _read_all(pictures):
            batch.append(prepare(levels))
            if len(batch) == BATCH_SIZE:
                predictions += self.predict(batch, split=split)
                batch = []
        predictions += self.predict(batch, split=split)
        return predictions[0] if single else predictions

    def predict(self, batch: "Images | Sequence[Levels | list[Images]]", *, split: bool = False) -> list[Prediction]:
        """Name the digits in a batch of pictures.

        Args:
            batch: uint8 array ``(N, 28, 28)``, or pictures that `prepare` has prepared.
            split: as in `__call__`.
        """
        if isinstance(batch, np.ndarray) and is_mnist(batch).all():
            rows = self.probabilities(batch).tolist()
            return [self._conclude(seen, [tuple(row)], split) for seen, row in zip(batch[:, None], rows, strict=True)]
        found = _find_all(batch)
        images = [image for digits in found for image in (digits if split else digits[:1])]
        probabilities = iter(self.probabilities(np.stack(images)).tolist() if images else [])
        return [
            self._conclude(
                np.stack(digits) if digits else _NONE,
                [tuple(next(probabilities)) for _ in (digits if split else digits[:1])],
                split,
            )
            for digits in found
        ]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Run the network.

        Args:
            images: uint8 array ``(N, 28, 28)`` as MNIST has them.

        Returns:
            float32 array ``(N, 10)``; a row sums to 1.
        """
        with torch.inference_mode():
            parts = torch.split(torch.tensor(images), BATCH_SIZE)
            logits = torch.cat([self.network(normalise(part)) for part in parts])
            result: npt.NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return result

    def _conclude(self, seen: Images, probabilities: list[tuple[float, ...]], split: bool) -> Prediction:
        if not len(seen):
            return Prediction(None, None, None, "empty", "there is nothing written in it")
        if len(seen) > 1 and not split:
            message = f"it holds {len(seen)} digits; --split (split=True) reads them one by one"
            return Prediction(None, None, None, "several", message, seen)
        highest = [max(row) for row in probabilities]
        best = [row.index(most) for row, most in zip(probabilities, highest, strict=True)]
        probability = math.prod(highest)
        sure = probability >= self.threshold
        return Prediction(
            "".join(CLASS_NAMES[digit] for digit in best) if split else best[0],
            probability,
            tuple(probabilities) if split else probabilities[0],
            "ok" if sure else "unsure",
            "" if sure else f"its probability is below {self.threshold:g}",
            seen,
        )


def load_classifier(path: str | Path | None = None, *, threshold: float = THRESHOLD) -> Classifier:
    """Load a classifier.

    Args:
        path: a checkpoint of ``mnist-lstm fit``; default: the weights that come with the package.
        threshold: probability, 0 to 1, below which a prediction is unsure.

    Raises:
        InputError: the file is no such checkpoint, or the threshold is out of its range.
    """
    path = PRETRAINED if path is None else Path(path).expanduser()
    return Classifier(build_network(read_checkpoint(path), path), threshold)


def prepare(levels: Levels) -> Levels | list[Images]:
    """Find the digits in a picture, unless it may be an MNIST image as it is, which is told for a batch at once."""
    if levels.shape == (SIZE, SIZE) and levels.dtype == np.uint8:
        return levels
    return find_digits(_as_grey(levels))


def _find_all(batch: Images | Sequence[Levels | list[Images]]) -> list[list[Images]]:
    candidates = [levels for levels in batch if isinstance(levels, np.ndarray)]
    ready = iter(is_mnist(np.stack(candidates)).tolist() if candidates else [])
    found = []
    for prepared in batch:
        if isinstance(prepared, list):
            found.append(prepared)
        elif next(ready):
            found.append([prepared.astype(np.uint8, copy=False)])
        else:
            found.append(find_digits(_as_grey(prepared)))
    return found


def _as_grey(levels: Levels) -> npt.NDArray[np.float32]:
    grey = levels.astype(np.float32)
    return grey / np.float32(255) if levels.dtype == np.uint8 else grey


def _read_all(pictures: Iterable[Any]) -> Iterator[Levels]:
    for number, picture in enumerate(pictures):
        try:
            yield read_any(picture)[0]
        except InputError as error:
            name = picture if isinstance(picture, (str, Path)) else f"picture {number}"
            raise InputError(f"{name}: {error}") from error
