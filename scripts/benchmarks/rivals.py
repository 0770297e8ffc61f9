"""The loops that ``mnist-lstm fit`` is measured against."""

import contextlib
import copy
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.data.format import normalise
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.training.callbacks import graphs

ENDS = 20
"""Steps at either end of a run whose mean losses are compared."""


class Tutorial(nn.Module):
    """The network of the tutorials: an LSTM of 64 units reads the rows, a linear layer its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 64, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        out, _ = self.lstm(images)  # (N, 28, 64)
        logits: Tensor = self.fc(out[:, -1])
        return logits


def tutorial_loop(data_dir: Path, seed: int, limit: int | None = None) -> tuple[float, Tutorial]:
    """Train one epoch as the tutorials do: torchvision, ToTensor, batches of 64, Adam with 0.01, float32.

    As in them, inputs are ToTensor's, 0 to 1 and not normalised; ``fit`` normalises to mean 0 and deviation 1. Network
    and options are those of github.com/MorvanZhou/PyTorch-Tutorial, 402_RNN_classifier.py.

    Args:
        data_dir: folder in which torchvision finds MNIST.
        seed: of weights and order.
        limit: maximum number of steps.

    Returns:
        The seconds of the epoch, and the network.
    """
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    torch.manual_seed(seed)
    data = MNIST(data_dir, train=True, transform=ToTensor())
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)
    network = Tutorial()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    loss_function = nn.CrossEntropyLoss()
    losses = []
    start = time.perf_counter()
    for step, (images, labels) in enumerate(loader):
        if step == limit:
            break
        logits = network(images.reshape(-1, 28, 28))
        loss = loss_function(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start
    check_that_it_learns("the tutorial loop", losses)
    return seconds, network.eval()


class BareLoop:
    """A plain PyTorch loop with the network, optimizer and precision of ``fit``; no clipping, schedule or logging.

    Args:
        like: network; a copy of it is trained from new weights.
        learning_rate: of AdamW.
        precision: 32-true or bf16-mixed.
        device: of network and batches.
    """

    def __init__(self, like: RowLSTM, learning_rate: float, precision: str, device: torch.device) -> None:
        self.network = copy.deepcopy(like).to(device)
        self.network.rnn.reset_parameters()
        self.network.head.reset_parameters()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate, fused=True)
        self.mixed = precision == "bf16-mixed"
        self.device = device

    def run(self, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
        """Train on normalised images and labels; return the seconds."""
        losses = []
        wait_for(self.device)
        start = time.perf_counter()
        for images, labels in batches:
            losses.append(self._propagate(images, labels))
            self.optimizer.step()
        wait_for(self.device)
        seconds = time.perf_counter() - start
        check_that_it_learns("the bare loop", torch.stack(losses).tolist())
        return seconds

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        # without a cache of weights, as in Lightning
        mixed = torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)
        with mixed if self.mixed else contextlib.nullcontext():
            return F.cross_entropy(self.network(images), labels)

    def _propagate(self, images: Tensor, labels: Tensor) -> Tensor:
        loss = self._loss(images, labels)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        return loss.detach()


class GraphLoop(BareLoop):
    """The bare loop, which replays loss and gradients of batches of one size as a CUDA graph; ``fit`` does so too."""

    def capture(self, images: Tensor, labels: Tensor) -> None:
        """Capture for batches like this one."""
        self._images, self._labels = images.clone(), labels.clone()
        self._weights = list(self.network.parameters())

        def run() -> tuple[Tensor, ...]:
            loss = self._loss(self._images, self._labels)
            return loss.detach(), *torch.autograd.grad(loss, self._weights)

        self._replay, (self._result, *self._gradients) = graphs.capture(run)

    def _propagate(self, images: Tensor, labels: Tensor) -> Tensor:
        if len(images) != len(self._images):
            return super()._propagate(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._replay()
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            weight.grad = gradient
        return self._result.clone()


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def shuffled(images: Tensor, labels: Tensor, batch_size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised batches of images in memory, in a new order."""
    for index in torch.split(torch.randperm(len(images)).to(images.device), batch_size)[:steps]:
        yield normalise(images.index_select(0, index)), labels.index_select(0, index)


def fixed(images: Tensor, labels: Tensor, batch_size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one normalised batch again and again: what remains is the time of network and optimizer."""
    batch = normalise(images[:batch_size]), labels[:batch_size]
    for _ in range(steps):
        yield batch


def check_that_it_learns(name: str, losses: list[float]) -> None:
    """Make sure that a timed loop trains.

    Raises:
        RuntimeError: the loss has not fallen.
    """
    if len(losses) >= 2 * ENDS and not statistics.mean(losses[-ENDS:]) < statistics.mean(losses[:ENDS]):
        raise RuntimeError(f"{name} does not learn: its loss was {losses[0]:.3f} and is {losses[-1]:.3f}")
