"""Measurements for the lesson `units`: how selective units are, what excites them, and what is lost without them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.lessons.digits import Split
from mnist_lstm.lessons.rows import correlation
from mnist_lstm.network.cells import LSTM
from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.network.model import RowLSTM

CLASSES = len(CLASS_NAMES)
TOP = 9  # pictures that show what excites a unit
HOLDS = 1.0  # standard deviations
DETECTS = 0.9  # share of the favourite class
STILL = 1e-3  # a unit with a smaller standard deviation at a row has no favourite there


class Favourites(NamedTuple):
    """The class and row at which each of U units is most selective, and its selectivity there; each ``(U,)``."""

    classes: Tensor
    rows: Tensor
    values: Tensor


class Portrait(NamedTuple):
    """What excites a unit.

    Attributes:
        unit: its number, from 0.
        label: the favourite class.
        row: the favourite row, from 0.
        held_out: selectivity on held-out digits, in standard deviations.
        share: the favourite class's share of as many digits as it has, those that excite the unit most.
        own: activations ``(digits of the class, 28)``.
        others: activations ``(all other digits, 28)``.
        images: ``(9, 28, 28)``, the digits that excite it most at its row.
        labels: their classes.
    """

    unit: int
    label: int
    row: int
    held_out: float
    share: float
    own: Tensor
    others: Tensor
    images: Tensor
    labels: list[int]


@torch.inference_mode()
def activate(model: RowLSTM, images: Tensor) -> Tensor:
    """Return the hidden state h of each unit after each row ``(N, 28, U)`` of images ``(N, 28, 28)``."""
    hidden: Tensor = model.rnn(images)[0]
    return hidden


def selectivity(values: Tensor, labels: Tensor) -> Tensor:
    """Return how far each class's mean lies above the mean of all digits, in standard deviations.

    Args:
        values: ``(N, rows, U)``, such as the hidden states of units after each row.
        labels: ``(N,)``.

    Returns:
        ``(10, rows, U)``; 0 where there is no digit of the class, or where the standard deviation is below `STILL`.
    """
    own = F.one_hot(labels, CLASSES).to(values.dtype)  # (N, 10)
    number = own.sum(dim=0).reshape(-1, 1, 1)
    deviation, mean = torch.std_mean(values, dim=0, correction=0)  # (rows, U)
    means = torch.einsum("nk,ntu->ktu", own, values) / number.clamp(min=1)
    usable = (number > 0) & (deviation >= STILL)
    return torch.where(usable, (means - mean) / deviation.clamp(min=STILL), 0.0)


def choose(values: Tensor) -> Favourites:
    """Return the class and row at which a selectivity ``(10, rows, U)`` is largest, for each unit."""
    rows = values.shape[1]
    best, index = values.flatten(0, 1).max(dim=0)
    return Favourites(index // rows, index % rows, best)


def at(values: Tensor, favourites: Favourites) -> Tensor:
    """Return the selectivity ``(U,)`` of a ``(10, rows, U)`` at favourites, as chosen on other digits."""
    return values[favourites.classes, favourites.rows, torch.arange(values.shape[2])]


def shares(favourites: Favourites, values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the favourite class's share of the digits that excite each unit most at its row, ``(U,)`` each.

    Of the `TOP` digits, and of as many digits as belong to the class.
    """
    top, all_of_class = [], []
    for unit, (label, row) in enumerate(zip(favourites.classes.tolist(), favourites.rows.tolist(), strict=True)):
        own = (labels[values[:, row, unit].argsort(descending=True)] == label).double()
        top.append(own[:TOP].mean())
        all_of_class.append(own[: max(1, int(own.sum()))].mean())
    return torch.stack(top), torch.stack(all_of_class)


def describe(favourites: Favourites, other: Tensor, values: Tensor, labels: Tensor) -> dict[str, float]:
    """Return figures of the favourites of a network's units on held-out digits: medians, and shares of all units."""
    held = at(other, favourites)
    top, all_of_class = shares(favourites, values, labels)
    return {
        "chosen": float(favourites.values.median()),
        "held_out": float(held.median()),
        "holds": float((held >= HOLDS).double().mean()),
        "top": float(top.mean()),
        "all_of_class": float(all_of_class.mean()),
        "detectors": float((all_of_class >= DETECTS).double().mean()),
    }


@torch.inference_mode()
def hold_each(model: RowLSTM, split: Split, still: Tensor) -> Tensor:
    """Hold each unit in turn; return by how much the log-odds of the true class fall, ``(U, 10)`` by unit and class.

    Args:
        model: of one LSTM layer in one direction.
        split: images ``(N, 28, 28)`` and labels ``(N,)``.
        still: what h of the unit is held at, ``(28, U)`` by row.
    """
    images, labels = split
    cell, units = LSTM.like(model.rnn), model.rnn.hidden_size
    weights = cell.weights()
    projected = F.linear(images, weights["weight_ih"], weights["bias_ih"])  # (N, 28, 4 U)
    before = log_odds(model(images), labels)
    falls = []
    for unit in range(units):
        now = dict.fromkeys("hc", images.new_zeros(len(images), units))
        for row in range(images.shape[1]):
            now = cell.step(projected[:, row], now, weights)
            now["h"][:, unit] = still[row, unit]
        falls.append(before - log_odds(model.head(now["h"]), labels))
    own = F.one_hot(labels, CLASSES).to(images.dtype)
    return torch.stack(falls) @ own / own.sum(dim=0).clamp(min=1)


def compare(losses: Tensor, favourites: Favourites, held: Tensor) -> dict[str, float]:
    """Compare what the favourite class loses with what others do, by `hold_each`, and all that with selectivity."""
    own = losses.gather(1, favourites.classes.unsqueeze(1)).squeeze(1)
    return {
        "own_class": float(own.mean()),
        "other_classes": float((losses.sum(dim=1) - own).mean() / (CLASSES - 1)),
        "loses_most": float((own >= losses.amax(dim=1)).double().mean()),
        "selectivity_and_loss": correlation(held, losses.mean(dim=1)),
    }


def portray(
    favourites: Favourites, other: Tensor, values: Tensor, images: Tensor, labels: Tensor, number: int
) -> list[Portrait]:
    """Portray up to ``number`` units with different favourite classes, on held-out digits.

    They are those whose selectivity was the highest on the digits that favourites were chosen on, so that the held-out
    digits have no part in the choice. Arguments as for `describe`; images are ``(N, 28, 28)``.
    """
    _, share = shares(favourites, values, labels)
    held_out = at(other, favourites)
    portraits: dict[int, Portrait] = {}
    for unit in favourites.values.argsort(descending=True).tolist():
        label, row = int(favourites.classes[unit]), int(favourites.rows[unit])
        if label in portraits or len(portraits) == number:
            continue
        best = values[:, row, unit].argsort(descending=True)[:TOP]
        is_own = labels == label
        portraits[label] = Portrait(
            unit=unit,
            label=label,
            row=row,
            held_out=float(held_out[unit]),
            share=float(share[unit]),
            own=values[is_own, :, unit],
            others=values[~is_own, :, unit],
            images=images[best],
            labels=labels[best].tolist(),
        )
    return list(portraits.values())
