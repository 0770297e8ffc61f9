"""Read digits with an ONNX file of ``mnist-lstm export``: onnxruntime computes, PyTorch is not imported.

A file may come from anyone. It is read into memory, and refused if it asks for another file or for operators beyond
ONNX's own, if its input, output or metadata are not those of ``export``, or if its answers are not probabilities. Its
graph is still a program, which can take time and memory: unlike a checkpoint, run one of a stranger with limits.
"""

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.errors import InputError

if TYPE_CHECKING:
    from mnist_lstm.network.model import RowLSTM

PRODUCER, INPUT, OUTPUT = "mnist-lstm", "images", "probabilities"

MAX_BYTES = 2**30
"""Largest file that is read: 1 GiB. That of the package's weights has 3.3 MB."""

FORBIDDEN = {b"location": "asks for another file", b"com.microsoft": "has operators that are not ONNX's own"}
"""Words that a file must have somewhere for either: protocol buffers hold texts as they are. Weights spell them by
chance in one of 10^10 files of 1 GiB."""


class OnnxBackend:
    """The network in an ONNX file; a `mnist_lstm.inference.classifier.Backend`.

    Args:
        data: content of the file.
        name: of the file, for errors.

    Raises:
        InputError: onnxruntime is not installed, or the file is not one of ``mnist-lstm export``.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data
        for word, reason in FORBIDDEN.items():
            if word in data:
                raise InputError(f"{name}: {reason}, and is refused")
        self._session = self._open(os.cpu_count() or 1)
        meta = self._session.get_modelmeta()
        foreign = f"{name}: is not an ONNX file of mnist-lstm export"
        if meta.producer_name != PRODUCER:
            raise InputError(f"{foreign}: another program has written it")
        kinds = [(put.name, put.type, put.shape[1:]) for put in _puts(self._session)]
        if kinds != [(INPUT, "tensor(uint8)", [SIZE, SIZE]), (OUTPUT, "tensor(float)", [len(CLASS_NAMES)])]:
            raise InputError(f"{foreign}: it does not turn uint8 images (N, 28, 28) into probabilities (N, 10)")
        self.metadata: dict[str, str] = meta.custom_metadata_map
        try:
            class_names = json.loads(self.metadata["class_names"])
            self.temperature = float(self.metadata["temperature"])
        except (KeyError, ValueError, RecursionError) as error:
            raise InputError(f"{foreign}: its metadata lack class names or temperature") from error
        if class_names != list(CLASS_NAMES) or not 0 < self.temperature < math.inf:
            raise InputError(f"{foreign}: its metadata name other classes, or a temperature that is none")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file; an `InputError` names it."""
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise InputError(f"{path}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""
        try:
            (answer,) = self._session.run([OUTPUT], {INPUT: images})
        except Exception as error:  # onnxruntime's have no common base
            raise InputError(f"{self.name}: onnxruntime cannot run it") from error
        rows: npt.NDArray[np.float32] = answer
        if rows.shape != (len(images), len(CLASS_NAMES)) or not _are_probabilities(rows):
            raise InputError(f"{self.name}: its answers are not probabilities")
        return rows

    @property
    def threads(self) -> int:
        """Number of threads that compute."""
        return int(self._session.get_session_options().intra_op_num_threads)

    @threads.setter
    def threads(self, number: int) -> None:
        if number != self.threads:
            self._session = self._open(number)

    @property
    def network(self) -> "RowLSTM":
        """There is none to look into: raises an `InputError`."""
        raise InputError(f"{self.name}: an ONNX file has answers only; give the checkpoint that it was made from")

    def _open(self, threads: int) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(f"{self.name}: to read an ONNX file: pip install 'mnist-lstm[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised as well
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            return onnxruntime.InferenceSession(self._data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's have no common base
            raise InputError(f"{self.name}: is not an ONNX file that onnxruntime can run, or is damaged") from error


def _puts(session: Any) -> list[Any]:
    return [*session.get_inputs(), *session.get_outputs()]


def _are_probabilities(rows: npt.NDArray[np.float32]) -> bool:
    return bool((rows >= 0).all() and (abs(rows.sum(axis=1) - 1) <= 1e-3).all())  # NaN is neither
