"""`Classifier`: pictures in, digits out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from mnist_lstm.data.format import CLASS_NAMES, SIZE, normalise
from mnist_lstm.errors import InputError
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.arrays import as_pictures, read_any, read_mnist_sized
from mnist_lstm.inference.picture import Images, find_digits, is_mnist
from mnist_lstm.inference.read import Levels
from mnist_lstm.network.checkpoint import build_network, read_checkpoint
from mnist_lstm.network.model import RowLSTM

Status = Literal["ok", "unsure", "empty", "several", "error"]

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "weights.ckpt"
"""The weights in the package; ``card.json`` beside them says how they were trained."""

# images per forward pass; twice as many exceed the CPU's caches, which takes the package's network half as long again
BATCH_SIZE = 250
FEW = 200  # up to this number of pictures, one thread is faster than several, which synchronise at every time step

_NONE: Images = np.zeros((0, SIZE, SIZE), dtype=np.uint8)
_NONE.flags.writeable = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        digit: 0 to 9; with ``split``, all digits as a string such as "10"; None without a digit.
        probability: of the digit, 0 to 1; with ``split``, the product over all digits; None without a digit.
        probabilities: of the classes 0 to 9; with ``split``, one such tuple per digit; None without a digit.
        status: ok; unsure: the probability is below the threshold; empty: the picture contains no digit; several: it
            contains several digits and ``split`` is False; error: it cannot be read.
        message: the reason for any status but ok.
        seen: uint8 array ``(digits, 28, 28)``, the network's input.
    """

    digit: int | str | None
    probability: float | None
    probabilities: tuple[float, ...] | tuple[tuple[float, ...], ...] | None
    status: Status
    message: str = ""
    seen: Images = field(default_factory=lambda: _NONE, repr=False, compare=False)


class Classifier:
    """A trained network that classifies any picture of a digit.

    Args:
        network: maps normalised images ``(N, 28, 28)`` to logits ``(N, 10)``.
        threshold: probability, 0 to 1, below which a prediction is unsure.

    Raises:
        InputError: the threshold is out of range.
    """

    def __init__(self, network: RowLSTM, threshold: float = THRESHOLD) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: must be between 0 and 1")
        self.network = network.eval()
        self.threshold = threshold

    def __call__(self, images: Any, *, split: bool = False) -> Any:
        """Classify one picture or many.

        Digits may be dark on light or light on dark, of any size. Images ``(28, 28)`` in MNIST's form go to the
        network unchanged.

        Args:
            images: one picture or many. One: a path, a PIL image, an array ``(height, width)`` or ``(height, width, 3
                or 4)``, a tensor ``(height, width)``. Many: a list or another iterable of these (and of tensors ``(C,
                height, width)``), an array or tensor ``(N, height, width)``, an array ``(N, height, width, C)``, a
                tensor ``(N, C, height, width)``, where C is 1 (grey), 3 (RGB) or 4 (RGBA). Values are bool, integers
                up to 255 or 65,535, or floats from 0 to 1 or to 255.
            split: read several digits in a picture, from left to right, as a string.

        Returns:
            A `Prediction` for one picture; for many, a list of them in the same order.

        Raises:
            InputError: the argument is not a picture, or a picture cannot be read; the message names it.
        """
        prepared: Images | list[Levels | list[Images]] | None = read_mnist_sized(images)
        single = False
        if prepared is None:
            pictures, single = as_pictures(images)
            prepared = []
            for number, picture in enumerate(pictures):
                try:
                    prepared.append(prepare(read_any(picture)[0]))
                except InputError as error:
                    name = picture if isinstance(picture, (str, Path)) else f"picture {number}"
                    raise InputError(f"{name}: {error}") from error
        batches = (prepared[start : start + BATCH_SIZE] for start in range(0, len(prepared), BATCH_SIZE))
        predictions = [prediction for batch in batches for prediction in self.predict(batch, split=split)]
        return predictions[0] if single else predictions

    def predict(self, batch: "Images | Sequence[Levels | list[Images]]", *, split: bool = False) -> list[Prediction]:
        """Classify a batch, a uint8 array ``(N, 28, 28)`` or results of `prepare`; ``split`` as in `__call__`."""
        found = _find_all(batch)
        wanted = [digits if split else digits[:1] for digits in found]
        images = [image for digits in wanted for image in digits]
        rows = iter(self.probabilities(np.stack(images)).tolist() if images else [])
        return [
            self._answer(np.stack(seen) if seen else _NONE, [tuple(next(rows)) for _ in digits], split)
            for seen, digits in zip(found, wanted, strict=True)
        ]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""
        with torch.inference_mode():
            parts = torch.split(torch.tensor(images), BATCH_SIZE)
            logits = torch.cat([self.network(normalise(part)) for part in parts])
            result: npt.NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return result

    def _answer(self, seen: Images, probabilities: list[tuple[float, ...]], split: bool) -> Prediction:
        if not len(seen):
            return Prediction(None, None, None, "empty", "there is nothing written in it")
        if len(seen) > 1 and not split:
            message = f"it holds {len(seen)} digits; --split (split=True) reads them one by one"
            return Prediction(None, None, None, "several", message, seen)
        highest = [max(row) for row in probabilities]
        digits = [row.index(top) for row, top in zip(probabilities, highest, strict=True)]
        probability = math.prod(highest)
        sure = probability >= self.threshold
        return Prediction(
            "".join(CLASS_NAMES[digit] for digit in digits) if split else digits[0],
            probability,
            tuple(probabilities) if split else probabilities[0],
            "ok" if sure else "unsure",
            "" if sure else f"its probability is below {self.threshold:g}",
            seen,
        )


def load_classifier(path: str | Path | None = None, *, threshold: float = THRESHOLD) -> Classifier:
    """Load a classifier from a checkpoint.

    Args:
        path: checkpoint of ``mnist-lstm fit``; default: the weights in the package.
        threshold: probability, 0 to 1, below which a prediction is unsure.

    Raises:
        InputError: the file is not such a checkpoint, or the threshold is out of range.
    """
    path = PRETRAINED if path is None else Path(path).expanduser()
    return Classifier(build_network(read_checkpoint(path), path), threshold)


def prepare(levels: Levels) -> Levels | list[Images]:
    """Find the digits in a picture; return a 28x28 picture unchanged, since `is_mnist` is faster on a whole batch."""
    if levels.shape == (SIZE, SIZE) and levels.dtype == np.uint8:
        return levels
    return _find(levels)


def _find(levels: Levels) -> list[Images]:
    grey = levels.astype(np.float32)
    return find_digits(grey / np.float32(255) if levels.dtype == np.uint8 else grey)


def _find_all(batch: Images | Sequence[Levels | list[Images]]) -> list[list[Images]]:
    candidates = [levels for levels in batch if isinstance(levels, np.ndarray)]
    ready = iter(is_mnist(np.stack(candidates)).tolist() if candidates else [])
    found = []
    for prepared in batch:
        if isinstance(prepared, list):
            found.append(prepared)
        else:
            found.append([prepared.astype(np.uint8, copy=False)] if next(ready) else _find(prepared))
    return found
