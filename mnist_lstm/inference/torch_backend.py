"""Read digits with a checkpoint: PyTorch computes."""

import json
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from mnist_lstm.data.format import normalise
from mnist_lstm.errors import InputError
from mnist_lstm.network.checkpoint import build_network, read_checkpoint
from mnist_lstm.network.model import RowLSTM


class TorchBackend:
    """A network of this package; a `mnist_lstm.inference.classifier.Backend`.

    The network maps normalised images ``(N, 28, 28)`` to logits ``(N, 10)``, which are divided by the temperature (Guo
    et al. 2017).
    """

    def __init__(self, network: RowLSTM, temperature: float = 1.0) -> None:
        if not 0 < temperature < math.inf:
            raise InputError(f"temperature {temperature}: must be greater than 0")
        self.network = network.eval()
        self.temperature = temperature

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a checkpoint of ``mnist-lstm fit``, and the temperature in its card; an `InputError` names the file."""
        card = read_card(path)
        return cls(build_network(read_checkpoint(path), path), card.get("temperature", 1.0))

    def __call__(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Turn uint8 images ``(N, 28, 28)`` in MNIST's form into float32 probabilities ``(N, 10)``."""
        with torch.inference_mode():
            logits = self.network(normalise(torch.tensor(images)))
            result: npt.NDArray[np.float32] = (logits / self.temperature).softmax(dim=1).numpy()
        return result

    @property
    def threads(self) -> int:
        """Number of threads that compute, in this process."""
        return torch.get_num_threads()

    @threads.setter
    def threads(self, number: int) -> None:
        torch.set_num_threads(number)


def read_card(checkpoint: Path) -> dict[str, Any]:
    """Return the ``card.json`` beside a checkpoint; {} if there is none or it describes another.

    Raises:
        InputError: it is not a card, or its temperature is not a positive number.
    """
    path = checkpoint.with_name("card.json")
    if not path.is_file():
        return {}
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if card["weights"] != checkpoint.name:
            return {}
        temperature = float(card.get("temperature", 1.0))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is not a card of scripts/make_pretrained.py; move it away") from error
    if not 0 < temperature < math.inf:
        raise InputError(f"{path}: temperature {temperature}: must be greater than 0")
    return card | {"temperature": temperature}
