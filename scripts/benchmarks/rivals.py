"""What `mnist-lstm fit` is measured against, as anyone would write it."""

import contextlib
import copy
import statistics
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.mnist_format import normalise
from mnist_lstm.model import RowLSTM

ENDS = 20
"""Steps at either end of a run whose mean losses tell whether it has learnt."""


class Tutorial(nn.Module):
    """The network of the tutorials: 64 units read the rows, a linear layer sees the last output."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, 64, batch_first=True)
        self.fc = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        out, _ = self.lstm(images)
        logits: Tensor = self.fc(out[:, -1])
        return logits


def tutorial_loop(data_dir: str, seed: int, limit: int | None = None) -> tuple[float, Tutorial]:
    """Train one epoch as the tutorials do: torchvision, ToTensor, batches of 64, Adam with 0.01.

    Args:
        data_dir: folder that torchvision finds MNIST in.
        seed: of the weights and the order.
        limit: steps to take at most.

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
    """PyTorch's own loop around the same network, optimiser and precision, without clipping, schedule or logging.

    Args:
        like: the network, of which a copy is trained from new weights.
        learning_rate: of AdamW.
        precision: 32-true or bf16-mixed.
        device: that all is on.
    """

    def __init__(self, like: RowLSTM, learning_rate: float, precision: str, device: torch.device) -> None:
        self.network = copy.deepcopy(like).to(device)
        self.network.rnn.reset_parameters()
        self.network.head.reset_parameters()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate, fused=True)
        self.mixed = precision == "bf16-mixed"
        self.device = device

    def run(self, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
        """Train; return the seconds."""
        losses = []
        self._wait()
        start = time.perf_counter()
        for images, labels in batches:
            with torch.autocast(self.device.type, torch.bfloat16) if self.mixed else contextlib.nullcontext():
                loss = F.cross_entropy(self.network(images), labels)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            losses.append(loss.detach())
        self._wait()
        seconds = time.perf_counter() - start
        check_that_it_learns("the bare loop", torch.stack(losses).tolist())
        return seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def shuffled(images: Tensor, labels: Tensor, batch_size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised batches of images that lie in memory, in a new order."""
    for index in torch.split(torch.randperm(len(images)).to(images.device), batch_size)[:steps]:
        yield normalise(images.index_select(0, index)), labels.index_select(0, index)


def fixed(images: Tensor, labels: Tensor, batch_size: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the same normalised batch again and again: what network and optimiser take by themselves."""
    batch = normalise(images[:batch_size]), labels[:batch_size]
    for _ in range(steps):
        yield batch


def check_that_it_learns(name: str, losses: list[float]) -> None:
    """Make sure that what is timed is training.

    Raises:
        RuntimeError: the loss has not fallen.
    """
    if len(losses) >= 2 * ENDS and not statistics.mean(losses[-ENDS:]) < statistics.mean(losses[:ENDS]):
        raise RuntimeError(f"{name} has not learnt: its loss was {losses[0]:.3f} and is {losses[-1]:.3f}")
