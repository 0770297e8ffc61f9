"""The digits that lessons learn from, and the plain loop that they learn in."""

import contextlib
import io
import statistics
import time
import warnings
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn

from mnist_lstm.mnist_format import normalise
from mnist_lstm.progress import track

Dataset = Literal["auto", "mnist", "digits"]

Split = tuple[Tensor, Tensor]


def load_train_and_val(dataset: Dataset, data_dir: str) -> tuple[Split, Split, str]:
    """Load what `mnist-lstm fit` trains and validates on; the test images are not touched.

    Args:
        dataset: mnist; digits, the 1,797 that come with scikit-learn; auto: mnist if it can be had.
        data_dir: folder of MNIST.

    Returns:
        Normalised images ``(N, 28, 28)`` and labels ``(N,)``, to train and to validate, and a line that says of what.
    """
    # Lightning takes seconds to import, and only lessons on digits need it
    from mnist_lstm.data import MNISTDataModule

    module = MNISTDataModule(dataset, data_dir=data_dir)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the line below says what has come of auto
        module.prepare_data()
        module.setup("fit")
    train, val = (
        (normalise(digits.images), digits.labels)  # type: ignore[attr-defined]
        for digits in (loader.dataset for loader in (module.train_dataloader(), module.val_dataloader()))
    )
    name = {"mnist": "MNIST", "digits": "scikit-learn's digits (not MNIST)"}[module.dataset]
    return train, val, f"{name}: {len(train[1]):,} images to train, {len(val[1]):,} to validate"


def train_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> tuple[float, float]:
    """Take one step, with gradients clipped at norm 1; returns loss and seconds."""
    start = time.perf_counter()
    loss = F.cross_entropy(model(images), labels)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return loss.item(), time.perf_counter() - start


def batches(images: int, steps: int, batch_size: int, seed: int) -> tuple[Tensor, ...]:
    """Draw the indices of batches, the same ones for the same seed, each image once before any comes again.

    Args:
        images: how many there are.
        steps: how many batches.
        batch_size: images in each.
        seed: of the order.
    """
    order = torch.Generator().manual_seed(seed)
    epochs = -(-steps * batch_size // images)
    index = torch.cat([torch.randperm(images, generator=order) for _ in range(epochs)])
    parts: tuple[Tensor, ...] = index[: steps * batch_size].split(batch_size)
    return parts


class Training(NamedTuple):
    """What became of networks that were trained side by side; everything by their names.

    Attributes:
        losses: of each step.
        seconds: of each step.
        accuracies: (step, share of validation images) where it was looked at.
    """

    losses: dict[str, list[float]]
    seconds: dict[str, list[float]]
    accuracies: dict[str, list[tuple[int, float]]]

    def time_ratio(self, name: str, other: str) -> float:
        """Tell how long a step takes, over another network's step on the same batch; the median of all steps."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(a / b for a, b in pairs)


def train_together(
    models: Mapping[str, nn.Module],
    train: Split,
    val: Split,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checks: int,
) -> Training:
    """Train networks in turn on the same batches, by Adam.

    Args:
        models: by name.
        train: images and labels to learn from.
        val: images and labels to look at.
        steps: of each network.
        batch_size: images a step.
        learning_rate: of Adam.
        seed: of the order.
        checks: times that the accuracy is looked at, about; the last is after the last step.
    """
    optimisers = {name: torch.optim.Adam(model.parameters(), learning_rate) for name, model in models.items()}
    training = Training({name: [] for name in models}, {name: [] for name in models}, {name: [] for name in models})
    for step, index in enumerate(track(batches(len(train[1]), steps, batch_size, seed), "training"), 1):
        images, labels = train[0][index], train[1][index]
        for name, model in models.items():
            loss, seconds = train_step(model, optimisers[name], images, labels)
            training.losses[name].append(loss)
            training.seconds[name].append(seconds)
            if step == steps or step % max(1, steps // checks) == 0:
                training.accuracies[name].append((step, accuracy(model, val)))
    return training


def draw_accuracies(
    axis: Axes, accuracies: Mapping[str, list[tuple[int, float]]], looks: Mapping[str, tuple[str, str]]
) -> None:
    """Draw the accuracies of a `Training`.

    Args:
        axis: to draw on.
        accuracies: by name.
        looks: colour, and marker with line, by name.
    """
    for name, curve in accuracies.items():
        colour, style = looks[name]
        axis.plot(*zip(*curve, strict=True), style, color=colour, label=f"{name}, {curve[-1][1]:.1%}")
    axis.set(xlabel="step of training", ylabel="validation accuracy")
    axis.grid(alpha=0.3)
    axis.legend()


@torch.no_grad()
def accuracy(model: nn.Module, split: Split) -> float:
    """Tell the share of images, 0 to 1, whose digit is named."""
    images, labels = split
    model.eval()
    right = sum(
        int((model(part).argmax(dim=1) == label).sum())
        for part, label in zip(images.split(500), labels.split(500), strict=True)
    )
    model.train()
    return right / len(labels)
