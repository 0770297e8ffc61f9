"""The digits that lessons learn from, and the plain loop that they learn in."""

import contextlib
import io
import time
import warnings
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.mnist_format import normalise

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
