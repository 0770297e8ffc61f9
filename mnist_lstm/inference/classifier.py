"""`Classifier`: pictures in, digits out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.errors import InputError
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.arrays import as_pictures, read_mnist_sized
from mnist_lstm.inference.picture import Finding, Images, Page, Writing
from mnist_lstm.inference.prepare import BATCH_SIZE, in_batches, prepare_all, prepare_mnist_sized
from mnist_lstm.inference.reading import BETTER, DIGIT, LIKELY, SURE, Reading

if TYPE_CHECKING:
    from mnist_lstm.network.model import RowLSTM

Status = Literal["ok", "unsure", "empty", "several", "error"]

PRETRAINED = Path(__file__).parent.parent / "pretrained" / "weights.ckpt"
"""The weights in the package; ``card.json`` beside them says how they were trained."""

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
        marks: boxes of ink beside them that is no digit, with what it is most like.
        seen: uint8 array ``(digits, 28, 28)``, the network's input.
        stages: pictures of how the digits were found, by name, if `Classifier.predict` was asked for them.
    """

    digit: int | str | None
    probability: float | None
    probabilities: tuple[float, ...] | tuple[tuple[float, ...], ...] | None
    status: Status
    message: str = ""
    boxes: tuple[Box, ...] = ()
    seen: Images = field(default_factory=lambda: _stack([]), repr=False, compare=False)
    marks: tuple[Box, ...] = ()
    stages: dict[str, Image.Image] = field(default_factory=dict, repr=False, compare=False)


class Backend(Protocol):
    """A trained network, by whichever library computes: `TorchBackend` of a checkpoint, `OnnxBackend` of an ONNX file.

    Attributes:
        threads: number of threads that compute; it can be set.
        temperature: by which the logits are divided.
        network: for a look inside; an ONNX file has none, and raises an `InputError`.
    """

    threads: int

    @property
    def temperature(self) -> float: ...  # noqa: D102 - as above

    @property
    def network(self) -> "RowLSTM": ...  # noqa: D102 - as above

    def __call__(self, images: Images) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""


class Classifier:
    """A trained network that classifies any picture of a digit.

    A prediction with a probability below the threshold, 0 to 1, is unsure.
    """

    def __init__(self, backend: Backend, threshold: float = THRESHOLD) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"threshold {threshold}: must be between 0 and 1")
        self.backend = backend
        self.threshold = threshold

    @property
    def network(self) -> "RowLSTM":
        """The network of a checkpoint; an ONNX file raises an `InputError`."""
        return self.backend.network

    @property
    def temperature(self) -> float:
        """By which the network's logits are divided."""
        return self.backend.temperature

    def __call__(self, images: Any, *, split: bool = False) -> Any:
        """Classify one picture or many: a `Prediction` for one, for many a list of them in the same order.

        Digits may be dark on light or light on dark, of any size. Images ``(28, 28)`` in MNIST's form go to the
        network unchanged.

        Args:
            images: one picture or many. One: a path, a PIL image, an array ``(height, width)`` or ``(height, width, 3
                or 4)``, a tensor ``(height, width)``, a flat image ``(784,)`` or ``(1, 784)``. Many: a list or another
                iterable of these (and of tensors ``(C, height, width)``), an array or tensor ``(N, height, width)``, an
                array ``(N, height, width, C)``, a tensor ``(N, C, height, width)``, where C is 1 (grey), 3 (RGB) or 4
                (RGBA). Values are bool, integers up to 255 or 65,535, or floats from 0 to 1 or to 255.
            split: read several digits in a picture, from left to right, as a string.

        Raises:
            InputError: the argument is not a picture, or a picture cannot be read; the message names it. So is a path
                with several pages; `mnist_lstm.inference.pages.read_pages` reads them.
        """
        mnist_sized = read_mnist_sized(images)
        if mnist_sized is not None:
            found, single = prepare_mnist_sized(mnist_sized), False
        else:
            pictures, single = as_pictures(images)
            found = prepare_all(pictures)
        predictions = [prediction for batch in in_batches(found) for prediction in self.predict(batch, split=split)]
        return predictions[0] if single else predictions

    def predict(self, found: Sequence[Writing], *, split: bool = False, stages: bool = False) -> list[Prediction]:
        """Classify the digits that `prepare` found in each picture; ``split`` as in `__call__`.

        With ``stages``, predictions have pictures of how the digits were found.
        """
        readings = self._read([writing.page for writing in found])
        answers = []
        for first, writing in zip(readings, found, strict=True):
            reading, finding = self._choose(first, writing)
            answer = self._answer(reading, split)
            answers.append(replace(answer, stages=finding.stages()) if stages and finding is not None else answer)
        return answers

    def _choose(self, reading: Reading, writing: Writing) -> tuple[Reading, Finding | None]:
        """Return the best reading of a picture, with its finding; look for others only in doubt of the first one."""
        if reading.is_sure or writing.finding is None:
            return reading, writing.finding
        best: Reading = reading
        finding: Finding | None = writing.finding
        if not _counts(reading, writing.finding):
            best, finding = Reading.of(Page([]), []), None
        elif not reading.has_digits and not writing.finding.is_drawn:
            best, finding = reading.as_marks(), writing.finding
        for other in writing.others or ():
            (another,) = self._read([other.page])
            if another.lines and reading.lines:
                another = another.with_marks(reading.marks)
            if not another.has_digits and not other.is_drawn:
                continue
            if _counts(another, other) and (not best.lines or another.score > best.score + BETTER):
                best, finding = another, other
            if best.is_sure:
                break
        return best, finding

    def _read(self, pages: list[Page]) -> list[Reading]:
        """Let the network read several pages."""
        rows = iter(self.probabilities(_stack([span.image for page in pages for span in page.spans])))
        return [Reading.of(page, [next(rows) for _ in page.spans]) for page in pages]

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""
        starts = range(0, len(images), BATCH_SIZE)
        none = np.empty((0, len(CLASS_NAMES)), np.float32)
        return np.concatenate([none, *(self.backend(images[start : start + BATCH_SIZE]) for start in starts)])

    def _answer(self, reading: Reading, split: bool) -> Prediction:
        digits = reading.digits
        boxes, marks = (
            tuple(Box(digit.value, digit.probability, *digit.span.box) for digit in group)
            for group in (digits, [*reading.marks, *reading.rest])
        )
        if not digits:
            but = f", but {_marks_that_are(len(marks))} no digit" if marks else ""
            return Prediction(None, None, None, "empty", f"there is nothing written in it{but}", marks=marks)
        seen = _stack([digit.span.image for digit in digits])
        if len(digits) > 1 and not split:
            message = f"it holds {len(digits)} digits; --split (split=True) reads them one by one"
            return Prediction(None, None, None, "several", message, boxes, seen, marks)
        text = "\n".join("".join(CLASS_NAMES[digit.value] for digit in line) for line in reading.lines)
        shares = tuple(digit.probabilities for digit in digits)
        status, message = self._judge(reading)
        digit, probabilities = (text, shares) if split else (int(text), shares[0])
        return Prediction(digit, reading.probability, probabilities, status, message, boxes, seen, marks)

    def _judge(self, reading: Reading) -> tuple[Status, str]:
        """Return the status of what was read, with its reasons."""
        marks = len(reading.marks) + len(reading.rest)
        left_out = f"{_marks_that_are(marks, ' beside it')} no digit left out"
        reasons = [left_out] if marks else []
        if reading.probability >= self.threshold:
            return "unsure" if reading.large_marks else "ok", left_out if marks else ""
        if max(digit.probability for digit in reading.digits) < DIGIT:
            reasons.insert(0, "it does not look like a digit")
        else:
            reasons.insert(0, f"its probability is below {self.threshold:g}")
        return "unsure", "; ".join(reasons)


def _marks_that_are(count: int, where: str = "") -> str:
    return f"{count} mark{'s' * (count > 1)}{where} that {'are' if count > 1 else 'is'}"


def _counts(reading: Reading, finding: Finding) -> bool:
    """Return whether a reading counts: that of a guess only if as much as a sure digit is read, and all is likely."""
    if not finding.amount:
        return reading.is_sure
    read = len(reading.digits) + len(reading.marks)
    return not finding.is_guess or reading.score >= max(math.log(2 * SURE), read * math.log(2 * LIKELY))


def load_classifier(
    path: str | Path | None = None, *, threshold: float = THRESHOLD, backend: Literal["torch", "onnx"] | None = None
) -> Classifier:
    """Load a classifier from a checkpoint of ``mnist-lstm fit`` or a file of ``mnist-lstm export``.

    The default is the checkpoint in the package. A ``card.json`` beside a checkpoint that describes it may have a
    temperature (``scripts/calibrate.py --fit``). Whether a file is read as ONNX follows from its ending, unless
    ``backend`` says it.
    """
    path = PRETRAINED if path is None else Path(path).expanduser()
    if backend == "onnx" or (backend is None and path.suffix.lower() == ".onnx"):
        from mnist_lstm.inference.onnx_backend import OnnxBackend

        return Classifier(OnnxBackend.load(path), threshold)
    from mnist_lstm.inference.torch_backend import TorchBackend

    return Classifier(TorchBackend.load(path), threshold)


def _stack(digits: list[Images]) -> Images:
    return np.array(digits, dtype=np.uint8).reshape(-1, SIZE, SIZE)
