"""The task of the lessons on memory: recall at the last step a cue seen at one step, with noise at all others."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mnist_lstm.lessons.digits import train_step
from mnist_lstm.lessons.options import MemoryOptions
from mnist_lstm.network.model import RowLSTM

CUES = 4  # number of different cues
CHANCE_LOSS = math.log(CUES)  # cross-entropy of uniform probabilities
NOISE = 0.3  # standard deviation; a cue is 1
# the task is solved when the mean loss of the last WINDOW batches, all new to the network, is below SOLVED
SOLVED, WINDOW = 0.1, 10


def draw(number: int, length: int, generator: torch.Generator, place: int = 0) -> tuple[Tensor, Tensor]:
    """Draw sequences ``(number, length, CUES)``, noise with a one-hot cue at step ``place``, and the cues' indices."""
    sequences = NOISE * torch.randn(number, length, CUES, generator=generator)
    cues = torch.randint(0, CUES, (number,), generator=generator)
    sequences[:, place] = torch.eye(CUES)[cues]
    return sequences, cues


def final_loss(losses: Sequence[float]) -> float:
    """Return the mean of the last `WINDOW` losses."""
    return statistics.fmean(losses[-WINDOW:])


def is_solved(losses: Sequence[float]) -> bool:
    """Return whether there are `WINDOW` losses, and the mean of the last is below `SOLVED`."""
    return len(losses) >= WINDOW and final_loss(losses) < SOLVED


def train_until_solved(
    model: RowLSTM, generator: torch.Generator, length: int, updates: int, options: MemoryOptions
) -> list[float]:
    """Train with Adam until a cue at the first of ``length`` steps is recalled; return at most ``updates`` losses."""
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    losses: list[float] = []
    while len(losses) < updates and not is_solved(losses):
        losses.append(train_step(model, optimizer, *draw(options.batch_size, length, generator)))
    return losses


def running_mean(losses: Sequence[float]) -> list[float]:
    """Return for each update the mean of the last `WINDOW` losses, or of fewer at the start."""
    return [final_loss(losses[:end]) for end in range(1, len(losses) + 1)]


def draw_chance_level(axis: Axes) -> None:
    """Draw a line at the chance level."""
    axis.axhline(CHANCE_LOSS, color="0.5", linewidth=1)
    place = (0.99, CHANCE_LOSS)
    axis.annotate("chance level", place, xycoords=("axes fraction", "data"), color="0.4", ha="right", va="bottom")


def seeded(seed: int, hidden_size: int, **options: Any) -> tuple[RowLSTM, torch.Generator]:
    """Return a network of one direction for this task, and a generator to draw sequences with."""
    torch.manual_seed(seed)
    sizes = {"input_size": CUES, "hidden_size": hidden_size, "num_classes": CUES, "bidirectional": False}
    return RowLSTM(**sizes, **options), torch.Generator().manual_seed(seed)
