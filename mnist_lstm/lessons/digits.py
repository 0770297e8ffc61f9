"""Digits and training loops for lessons."""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from mnist_lstm.console import track
from mnist_lstm.data import datasets
from mnist_lstm.data.format import normalise
from mnist_lstm.lessons.options import DigitOptions
from mnist_lstm.plots.style import CURVES, draw_band, finish

Split = tuple[Tensor, Tensor]


def load_train_and_val(options: DigitOptions) -> tuple[Split, Split, str]:
    """Load the training and the validation split of `mnist-lstm fit`, and a line that describes them.

    A split is normalised images ``(N, 28, 28)`` and labels ``(N,)``.
    """
    name, _ = datasets.prepare(options.dataset, options.data_dir, *datasets.sources())
    train, val = (
        (normalise(torch.tensor(digits.images)), torch.tensor(digits.labels))
        for digits in datasets.load_train_and_val(name, options.data_dir)
    )
    title = {"mnist": "MNIST", "digits": "scikit-learn's digits (not MNIST)"}[name]
    return train, val, f"{title}: {len(train[1]):,} training images, {len(val[1]):,} validation images"


def update(optimizer: Optimizer, loss: Tensor, max_norm: float = math.inf) -> float:
    """Update the weights once; returns the gradient norm before it is clipped at ``max_norm``."""
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], max_norm)
    optimizer.step()
    return float(norm)


def train_step(model: nn.Module, optimizer: Optimizer, inputs: Tensor, labels: Tensor) -> float:
    """Update a classifier once, with gradients clipped at norm 1; returns the loss."""
    loss = F.cross_entropy(model(inputs), labels)
    update(optimizer, loss, 1.0)
    return loss.item()


def batches(images: int, steps: int, batch_size: int, seed: int) -> tuple[Tensor, ...]:
    """Draw the indices of ``steps`` batches; each of ``images`` images is drawn once before any is drawn again."""
    order = torch.Generator().manual_seed(seed)
    epochs = -(-steps * batch_size // images)
    index = torch.cat([torch.randperm(images, generator=order) for _ in range(epochs)])
    parts: tuple[Tensor, ...] = index[: steps * batch_size].split(batch_size)
    return parts


class Training(NamedTuple):
    """Records of networks trained side by side, by their names."""

    losses: dict[str, list[float]]  # of each update
    seconds: dict[str, list[float]]  # of each update
    accuracies: dict[str, list[tuple[int, float]]]  # (update, validation accuracy) where it was computed

    @property
    def final(self) -> dict[str, float]:
        """Validation accuracy, 0 to 1, after the last update."""
        return {name: curve[-1][1] for name, curve in self.accuracies.items()}

    def time_ratios(self, other: str) -> dict[str, float]:
        """Return each network's time per update over another's on the same batch, the median of all updates."""
        return {
            name: statistics.median(a / b for a, b in zip(seconds, self.seconds[other], strict=True))
            for name, seconds in self.seconds.items()
        }


def train_on_batches(
    models: Mapping[str, nn.Module],
    train: Split,
    val: Split,
    drawn: Sequence[Tensor],
    learning_rate: float,
    checks: int,
) -> Training:
    """Train networks in turn on the same batches with Adam; validate them about ``checks`` times, also at the end.

    ``drawn`` are the indices of the images of each batch, as `batches` draws them.
    """
    training = Training({name: [] for name in models}, {name: [] for name in models}, {name: [] for name in models})
    optimizers = {name: Adam(model.parameters(), learning_rate) for name, model in models.items()}
    for step, index in enumerate(track(drawn, "training"), 1):
        images, labels = train[0][index], train[1][index]
        for name, model in models.items():
            start = time.perf_counter()
            training.losses[name].append(train_step(model, optimizers[name], images, labels))
            training.seconds[name].append(time.perf_counter() - start)
            if step == len(drawn) or step % max(1, len(drawn) // checks) == 0:
                training.accuracies[name].append((step, accuracy(model, val)))
    return training


def draw_accuracies(axis: Axes, curves: Mapping[str, Sequence[list[tuple[int, float]]]], **properties: Any) -> None:
    """Plot accuracies of up to four networks: the median of the seeds, in a band from the lowest to the highest.

    ``curves`` are the accuracies of a `Training` of each seed by the network's name; properties are as for `finish`.
    """
    for (name, tries), curve, marker in zip(curves.items(), CURVES, "D^so", strict=False):
        steps = [step for step, _ in tries[0]]
        values = [[accuracy for _, accuracy in one] for one in tries]  # (seeds, checks)
        final = statistics.median(one[-1] for one in values)
        draw_band(axis, steps, values, curve, marker=marker, label=f"{name}, {final:.1%}")
    finish(axis, xlabel="update", ylabel="validation accuracy", **properties)


@torch.no_grad()
def accuracy(model: nn.Module, split: Split) -> float:
    """Return the share of images, 0 to 1, that are classified correctly."""
    images, labels = split
    model.eval()
    predicted = torch.cat([model(part).argmax(dim=1) for part in images.split(500)])
    model.train()
    return int((predicted == labels).sum()) / len(labels)
