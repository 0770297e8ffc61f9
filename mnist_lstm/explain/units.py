"""Which units of a network to draw, and in which order: found on other digits than the one that is drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mnist_lstm.data.format import normalise
from mnist_lstm.explain.options import UNITS
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM


class Units(NamedTuple):
    """Units of one layer, from 1, in one direction.

    ``place`` numbers layer and direction as PyTorch does, from 0; ``units`` are int64, in the order in which to draw.
    """

    place: int
    layer: int
    direction: str
    units: Tensor


def choose_units(
    network: RowLSTM,
    images: Tensor,
    layers: Sequence[int] = (1,),
    directions: Sequence[str] = ("forward",),
    number: int = UNITS,
) -> list[Units]:
    """Choose the units whose hidden state varies most, and order them by the step at which it is largest.

    The variance is over all steps of all images; the step is that of the largest mean of abs(h) over the images. Units
    that are ordered by their peak form a diagonal even where their states are noise, so the images should not be those
    that are drawn: then only what digits have in common is ordered.

    Args:
        network: for 28x28 digits.
        images: ``(N, 28, 28)``, 0 (paper) to 255 (ink).
        layers: from 1.
        directions: forward or backward.
        number: of units; 0 for all.
    """
    with torch.no_grad():
        steps = network.append_features(network.to_sequence(normalise(images)))
        gates = by_equations(network.rnn).trace(steps).gates
    names = ("forward", "backward") if network.rnn.bidirectional else ("forward",)
    chosen = []
    for index, layer in enumerate(gates):
        at, direction = index // len(names) + 1, names[index % len(names)]
        if at in layers and direction in directions:
            states = layer["h"]  # (N, L, H)
            units = states.flatten(0, 1).var(dim=0).argsort(descending=True)[: number or None]
            chosen.append(Units(index, at, direction, units[by_peak(states.abs().mean(dim=0)[:, units])]))
    return chosen


def by_peak(sizes: Tensor) -> Tensor:
    """Order units by the step of their largest value in ``(L, H)``, and within a step by that value, largest first."""
    largest, step = sizes.max(dim=0)
    return (step.double() - largest / (largest.max() + 1e-9) / 2).argsort()


def shuffled(states: Tensor) -> Tensor:
    """Shuffle the steps of states ``(L, H)``, those of each unit by themselves: a control in which no order is left.

    The same states are always shuffled in the same way.
    """
    order = torch.rand(states.shape, generator=torch.Generator().manual_seed(0)).argsort(dim=0)
    return states.gather(0, order)


def agreement(states: Tensor) -> float:
    """Return how far units stand in the order of their peaks in ``(L, H)``: Spearman's rank correlation, -1 to 1.

    It is NaN for a single unit; for orders that have nothing in common it is about 0.
    """
    ranks = by_peak(states.abs()).argsort().double()
    return float(torch.stack([ranks, torch.arange(len(ranks)).double()]).corrcoef()[0, 1])
