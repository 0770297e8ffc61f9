"""What a trained network does with one digit: numbers only, from which `mnist_lstm.explain.figures` draws."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.explain.cells import Gates, by_equations
from mnist_lstm.mnist_format import PAPER, SIZE, normalise
from mnist_lstm.model import Cell, RowLSTM

STRIPS = SIZE
"""Parts in which a sequence is looked at: each step of 28, or 28 steps together of the 784 pixels."""


@dataclass(frozen=True)
class Explanation:
    """One digit on its way through the network. All tensors are float64, on the CPU.

    Attributes:
        image: ``(28, W)``, normalised, as the network reads it from top to bottom: brought upright, transposed or put
            into another order where the network does so. A line of it is a strip: one step, without its edges if the
            network reads these too, or 28 single pixels.
        label: the digit whose loss is differentiated: the true one if it is known, or else the answer.
        belief: ``(28, 10)``, probabilities of the digits after each strip, as if the picture ended there.
        gates: for each layer and direction, from the names of the cell's equations to ``(L, H)``.
        gradient: ``(28, W)``, of the loss with respect to `image`.
        without: ``(28, 10)``, probabilities with one strip made paper.
        norms: gradient norm by strip, ``(28,)``, of this network and of others that are named.
        strip: what a strip is: row, column, or strip where the pixels are permuted.
    """

    image: Tensor
    label: int
    belief: Tensor
    gates: list[Gates]
    gradient: Tensor
    without: Tensor
    norms: dict[str, Tensor]
    strip: str

    @property
    def answer(self) -> int:
        """The digit that the network names in the end."""
        return int(self.belief[-1].argmax())

    @property
    def known_from(self) -> int:
        """The strip, counted from 1, from which on the network would give the answer, and not as a mere guess.

        That is, with at least half of the probability that the answer has in the end.
        """
        of_answer = self.belief[:, self.answer]
        guess = (self.belief.argmax(dim=1) != self.answer) | (of_answer < of_answer[-1] / 2)
        return int(guess.nonzero()[-1]) + 2 if guess.any() else 1

    @property
    def needed(self) -> dict[int, int]:
        """Strips, counted from 1, without which the network names another digit, and which one."""
        said = self.without.argmax(dim=1).tolist()
        return {strip: digit for strip, digit in enumerate(said, 1) if digit != self.answer}

    def numbers(self) -> dict[str, Any]:
        """Return all of it as plain numbers, rounded to 6 decimals; gradients to 6 digits."""
        return {
            "answer": self.answer,
            "probabilities": _rounded(self.belief[-1]),
            "label": self.label,
            "known_from": self.known_from,
            "needed": self.needed,
            "image": _rounded(self.image),
            "belief": _rounded(self.belief),
            "without": _rounded(self.without),
            "gradient": _rounded(self.gradient, ".6g"),
            "gradient_norms": {name: _rounded(norms, ".6g") for name, norms in self.norms.items()},
            "gates": [{name: _rounded(values) for name, values in of.items()} for of in self.gates],
        }


def explain(
    network: RowLSTM, image: Tensor, label: int | None = None, others: dict[str, RowLSTM] | None = None
) -> Explanation:
    """Follow one digit through a network.

    Everything is computed in float64, since the gradient of a loss near zero is lost in float32.

    Args:
        network: for 28x28 digits.
        image: uint8 or float tensor ``(28, 28)``, 0 (paper) to 255 (ink).
        label: the true digit; default: the network's answer.
        others: networks by name whose gradient norms stand beside this one's.
    """
    twin = _exact(network)
    with torch.no_grad():
        strips = twin.lay_out(normalise(image.unsqueeze(0))).double()  # (1, L, W)
        length = strips.shape[1]
        stride = length // STRIPS
        # an edge is also of the next row, so the picture ends there, not the steps
        early = [twin.answer(twin.add_edges(strips[:, :end])) for end in range(stride, length + 1, stride)]
        belief = torch.cat(early).softmax(dim=1)
        blanked = strips.repeat(STRIPS, 1, 1)
        for strip, sequence in enumerate(blanked):
            sequence[strip * stride : (strip + 1) * stride] = PAPER
        without = twin.answer(twin.add_edges(blanked)).softmax(dim=1)
        traced = by_equations(twin.rnn).trace(twin.add_edges(strips))
        gates = [{name: values[0] for name, values in of.items()} for of in traced.gates]
    label = int(belief[-1].argmax()) if label is None else label
    gradient = _gradient(twin, image, label)
    norms = {"this network": gradient.norm(dim=1)}
    norms |= {name: _gradient(_exact(other), image, label).norm(dim=1) for name, other in (others or {}).items()}
    unit = {"columns": "column", "permuted": "strip"}.get(network.scan, "row")
    return Explanation(strips.reshape(STRIPS, -1), label, belief, gates, gradient, without, norms, unit)


def untrained(network: RowLSTM, cell: Cell) -> RowLSTM:
    """Build a network of the same sizes with PyTorch's initial weights, always the same ones, and another cell."""
    rnn = network.rnn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RowLSTM(
            input_size=SIZE,
            hidden_size=rnn.hidden_size,
            num_layers=rnn.num_layers,
            num_classes=network.head.out_features,
            bidirectional=rnn.bidirectional,
            cell=cell,
            init="pytorch",
            readout=network.readout,
            straighten=network.straighten,
            scan=network.scan,
            edges=network.edges,
        ).eval()


def _exact(network: RowLSTM) -> RowLSTM:
    return copy.deepcopy(network).cpu().double().requires_grad_(False).eval()


def _gradient(network: RowLSTM, image: Tensor, label: int) -> Tensor:
    """Return the gradient of the loss by the pixels as they are read, through their edges too, ``(28, W)``."""
    strips = network.lay_out(normalise(image.unsqueeze(0))).double().requires_grad_()
    loss = F.cross_entropy(network.answer(network.add_edges(strips)), torch.tensor([label]))
    (gradient,) = torch.autograd.grad(loss, strips)
    return gradient.reshape(STRIPS, -1)


def _rounded(values: Tensor, style: str = ".6f") -> Any:
    if values.dim() > 1:
        return [_rounded(part, style) for part in values]
    return [float(format(value, style)) for value in values.tolist()]
