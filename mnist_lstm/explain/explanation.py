"""What a trained network does with one digit, as numbers; `mnist_lstm.explain.figures` draws them."""

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.format import PAPER, SIZE, normalise
from mnist_lstm.network.cells import Gates, by_equations
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.options import Cell

SEGMENTS = SIZE  # parts that are examined one by one: a sequence's 28 steps, or 28 steps each of the 784 single pixels


@dataclass(frozen=True)
class Explanation:
    """One digit and what a network computes from it. All tensors are float64, on the CPU.

    Attributes:
        image: ``(28, W)``, normalised, deskewed, and transposed or permuted as the network reads it from top to bottom;
            a line of it is a segment, without gradient features.
        label: the digit whose loss is differentiated.
        prefix_probabilities: ``(28, 10)``, class probabilities after each segment, as if the sequence ended there.
        gates: for each layer and direction, values ``(L, H)`` by their names in the cell's equations.
        gradient: ``(28, W)``, of the loss with respect to `image`.
        occluded_probabilities: ``(28, 10)``, class probabilities with one segment replaced by blank paper.
        gradient_norms: ``(28,)``, norm of the gradient by segment, of this network and of others by name.
        segment: what a segment is: row, column, or segment if the pixels are permuted.
    """

    image: Tensor
    label: int
    prefix_probabilities: Tensor
    gates: list[Gates]
    gradient: Tensor
    occluded_probabilities: Tensor
    gradient_norms: dict[str, Tensor]
    segment: str

    @property
    def prediction(self) -> int:
        """The predicted digit, after the last segment."""
        return int(self.prefix_probabilities[-1].argmax())

    @property
    def settles_at(self) -> int:
        """The segment, from 1, from which on the prediction is the final one, at half its final probability or more."""
        probability = self.prefix_probabilities[:, self.prediction]
        others = self.prefix_probabilities.argmax(dim=1) != self.prediction
        unsettled = others | (probability < probability[-1] / 2)
        return int(unsettled.nonzero()[-1]) + 2 if unsettled.any() else 1

    @property
    def flips(self) -> dict[int, int]:
        """Segments, from 1, whose occlusion changes the prediction, and the digit predicted then."""
        predictions = self.occluded_probabilities.argmax(dim=1).tolist()
        return {segment: digit for segment, digit in enumerate(predictions, 1) if digit != self.prediction}

    def numbers(self) -> dict[str, Any]:
        """Return everything as plain data, rounded to 6 decimals, gradients to 6 significant digits."""
        return {
            "prediction": self.prediction,
            "probabilities": _rounded(self.prefix_probabilities[-1]),
            "label": self.label,
            "settles_at": self.settles_at,
            "flips": self.flips,
            "image": _rounded(self.image),
            "prefix_probabilities": _rounded(self.prefix_probabilities),
            "occluded_probabilities": _rounded(self.occluded_probabilities),
            "gradient": _rounded(self.gradient, ".6g"),
            "gradient_norms": {name: _rounded(norms, ".6g") for name, norms in self.gradient_norms.items()},
            "gates": [{name: _rounded(values) for name, values in layer.items()} for layer in self.gates],
        }


def explain(
    network: RowLSTM, image: Tensor, label: int | None = None, others: dict[str, RowLSTM] | None = None
) -> Explanation:
    """Trace one digit through a network, in float64: the gradient of a loss near zero is lost in float32.

    Args:
        network: for 28x28 digits.
        image: ``(28, 28)``, 0 (paper) to 255 (ink).
        label: the true digit; default: the predicted one.
        others: networks by name, to compare gradient norms with.
    """
    twin = _in_float64(network)
    with torch.no_grad():
        sequence = twin.to_sequence(normalise(image.unsqueeze(0))).double()  # (1, L, W)
        length = sequence.shape[1]
        stride = length // SEGMENTS
        # cut before appending features, which depend on the next row
        prefixes = (twin.append_features(sequence[:, :end]) for end in range(stride, length + 1, stride))
        prefix_probabilities = torch.cat([twin.classify_steps(steps) for steps in prefixes]).softmax(dim=1)
        occluded = sequence.repeat(SEGMENTS, 1, 1)  # (28, L, W)
        for index, copied in enumerate(occluded):
            copied[index * stride : (index + 1) * stride] = PAPER
        occluded_probabilities = twin.classify_steps(twin.append_features(occluded)).softmax(dim=1)
        traced = by_equations(twin.rnn).trace(twin.append_features(sequence))
        gates = [{name: values[0] for name, values in layer.items()} for layer in traced.gates]
    label = int(prefix_probabilities[-1].argmax()) if label is None else label
    gradient = _gradient(twin, image, label)
    norms = {"this network": gradient.norm(dim=1)}
    norms |= {name: _gradient(_in_float64(other), image, label).norm(dim=1) for name, other in (others or {}).items()}
    seen = sequence.reshape(SEGMENTS, -1)
    segment = {"columns": "column", "permuted": "segment"}.get(network.options.scan_order, "row")
    return Explanation(seen, label, prefix_probabilities, gates, gradient, occluded_probabilities, norms, segment)


def untrained(network: RowLSTM, cell: Cell) -> RowLSTM:
    """Build an untrained network of the same sizes and another cell, with PyTorch's initialisation and a fixed seed."""
    options = asdict(network.options) | {"cell": cell, "init": "pytorch", "forget_bias": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RowLSTM(**options).eval()


def _in_float64(network: RowLSTM) -> RowLSTM:
    return copy.deepcopy(network).cpu().double().requires_grad_(False).eval()


def _gradient(network: RowLSTM, image: Tensor, label: int) -> Tensor:
    """Return the gradient of the loss with respect to the pixels in the order of reading, ``(28, W)``."""
    sequence = network.to_sequence(normalise(image.unsqueeze(0))).double().requires_grad_()
    loss = F.cross_entropy(network.classify_steps(network.append_features(sequence)), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, sequence)
    return gradient.reshape(SEGMENTS, -1)


def _rounded(values: Tensor, style: str = ".6f") -> Any:
    if values.dim() > 1:
        return [_rounded(part, style) for part in values]
    return [float(format(value, style)) for value in values.tolist()]
