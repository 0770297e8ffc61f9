"""`Classifier`: pictures in, digits out."""

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
from mnist_lstm.inference.picture import Images, Line, Span, find_writing, is_mnist
from mnist_lstm.inference.read import Levels
from mnist_lstm.network.checkpoint import build_network, read_checkpoint
from mnist_lstm.network.model import RowLSTM

Status = Literal["ok", "unsure", "empty", "several", "error"]

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "weights.ckpt"
"""The weights in the package; ``card.json`` beside them says how they were trained."""

# images per forward pass; twice as many exceed the CPU's caches, which takes the package's network half as long again
BATCH_SIZE = 250
FEW = 200  # up to this number of pictures, one thread is faster than several, which synchronise at every time step


@dataclass(frozen=True, slots=True)
class Box:
    """Where a digit was read, as shares of the picture's width and height from its top left corner, 0 to 1."""

    digit: int
    probability: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        digit: 0 to 9; with ``split``, all digits as a string such as "10", lines separated by newlines; None unless ok
            or unsure.
        probability: of the digit, 0 to 1; with ``split``, that of all digits and of the way in which ink was divided
            into them.
        probabilities: of the classes 0 to 9; with ``split``, one such tuple per digit.
        status: ok; unsure: the probability is below the threshold; empty: the picture contains no digit; several: it
            contains several digits and ``split`` is False; error: it cannot be read.
        message: the reason for any status but ok.
        boxes: of the digits, in the order of reading.
        seen: uint8 array ``(digits, 28, 28)``, the network's input.
    """

    digit: int | str | None
    probability: float | None
    probabilities: tuple[float, ...] | tuple[tuple[float, ...], ...] | None
    status: Status
    message: str = ""
    boxes: tuple[Box, ...] = ()
    seen: Images = field(default_factory=lambda: _stack([]), repr=False, compare=False)


class Classifier:
    """A trained network that classifies any picture of a digit.

    The network maps normalised images ``(N, 28, 28)`` to logits ``(N, 10)``. A prediction with a probability below the
    threshold, 0 to 1, is unsure.
    """

    def __init__(self, network: RowLSTM, threshold: float = THRESHOLD) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: must be between 0 and 1")
        self.network = network.eval()
        self.threshold = threshold

    def __call__(self, images: Any, *, split: bool = False) -> Any:
        """Classify one picture or many: a `Prediction` for one, for many a list of them in the same order.

        Digits may be dark on light or light on dark, of any size. Images ``(28, 28)`` in MNIST's form go to the
        network unchanged.

        Args:
            images: one picture or many. One: a path, a PIL image, an array ``(height, width)`` or ``(height, width, 3
                or 4)``, a tensor ``(height, width)``. Many: a list or another iterable of these (and of tensors ``(C,
                height, width)``), an array or tensor ``(N, height, width)``, an array ``(N, height, width, C)``, a
                tensor ``(N, C, height, width)``, where C is 1 (grey), 3 (RGB) or 4 (RGBA). Values are bool, integers
                up to 255 or 65,535, or floats from 0 to 1 or to 255.
            split: read several digits in a picture, from left to right, as a string.

        Raises:
            InputError: the argument is not a picture, or a picture cannot be read; the message names it.
        """
        mnist_sized = read_mnist_sized(images)
        if mnist_sized is not None:
            found, single = _prepare_mnist_sized(mnist_sized), False
        else:
            pictures, single = as_pictures(images)
            found = []
            for number, picture in enumerate(pictures):
                try:
                    found.append(prepare(read_any(picture)[0]))
                except InputError as error:
                    name = picture if isinstance(picture, (str, Path)) else f"picture {number}"
                    raise InputError(f"{name}: {error}") from error
        batches = (found[start : start + BATCH_SIZE] for start in range(0, len(found), BATCH_SIZE))
        predictions = [prediction for batch in batches for prediction in self.predict(batch, split=split)]
        return predictions[0] if single else predictions

    def predict(self, found: Sequence[list[Line]], *, split: bool = False) -> list[Prediction]:
        """Classify the digits that `prepare` found in each picture; ``split`` as in `__call__`."""
        images = [span.image for lines in found for line in lines for span in line.spans]
        rows = iter(self.probabilities(_stack(images)))
        answers = []
        for lines in found:
            read, probability = [], 1.0
            for line in lines:
                probabilities = [next(rows) for _ in line.spans]
                path, share = line.best_path([float(row.max()) for row in probabilities])
                probability *= share
                read.append([(line.spans[i], tuple(probabilities[i].tolist())) for i in path])
            answers.append(self._answer(read, probability, split))
        return answers

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""
        with torch.inference_mode():
            parts = torch.split(torch.tensor(images), BATCH_SIZE)
            logits = torch.cat([self.network(normalise(part)) for part in parts if len(part)] or [torch.empty(0, 10)])
            result: npt.NDArray[np.float32] = logits.softmax(dim=1).numpy()
        return result

    def _answer(self, lines: list[list[tuple[Span, tuple[float, ...]]]], probability: float, split: bool) -> Prediction:
        seen = _stack([span.image for line in lines for span, _ in line])
        if not len(seen):
            return Prediction(None, None, None, "empty", "there is nothing written in it")
        shares = tuple(row for line in lines for _, row in line)
        boxes = tuple(Box(row.index(max(row)), max(row), *span.box) for line in lines for span, row in line)
        if len(seen) > 1 and not split:
            message = f"it holds {len(seen)} digits; --split (split=True) reads them one by one"
            return Prediction(None, None, None, "several", message, boxes, seen)
        text = "\n".join("".join(CLASS_NAMES[row.index(max(row))] for _, row in line) for line in lines)
        digit = text if split else int(text)
        probabilities = shares if split else shares[0]
        if probability >= self.threshold:
            return Prediction(digit, probability, probabilities, "ok", "", boxes, seen)
        message = f"its probability is below {self.threshold:g}"
        return Prediction(digit, probability, probabilities, "unsure", message, boxes, seen)


def load_classifier(path: str | Path | None = None, *, threshold: float = THRESHOLD) -> Classifier:
    """Load a classifier from a checkpoint of ``mnist-lstm fit``; default: the weights in the package."""
    path = PRETRAINED if path is None else Path(path).expanduser()
    return Classifier(build_network(read_checkpoint(path), path), threshold)


def _stack(digits: list[Images]) -> Images:
    return np.array(digits, dtype=np.uint8).reshape(-1, SIZE, SIZE)


def prepare(levels: Levels) -> list[Line]:
    """Find the lines of digits in a picture, from the top, each from left to right; see `Line`."""
    if levels.shape == (SIZE, SIZE) and levels.dtype == np.uint8:
        return _prepare_mnist_sized(levels[np.newaxis].astype(np.uint8, copy=False))[0]
    grey = levels.astype(np.float32)
    return find_writing(grey / np.float32(255) if levels.dtype == np.uint8 else grey)


def _prepare_mnist_sized(images: Images) -> list[list[Line]]:
    """Do the same for pictures ``(N, 28, 28)`` at once; those in MNIST's form stay as they are."""
    return [
        [Line.of(image)] if in_form else find_writing(image.astype(np.float32) / np.float32(255))
        for image, in_form in zip(images, is_mnist(images), strict=True)
    ]
