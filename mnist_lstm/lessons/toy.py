"""The smallest classifier, three random sequences of two classes: how many updates does it need?

A first LSTM program often looks like this: a batch of shape (3, 5, 1), that is 3 sequences of 5 steps of 1 value; an
`nn.LSTM` of 64 units; a linear layer on its last hidden state; cross-entropy against random labels; Adam with a
learning rate of 0.001; five updates, after which little has changed. Nothing is wrong with it. The loss starts near
ln 2 = 0.693, the chance level of two classes, and Adam at 0.001 changes no weight by more than about 0.001 per update
(Kingma & Ba 2015, section 2.1). With random labels there is nothing to generalise, either: the network memorises. The
lesson counts the updates that this takes.
"""

import statistics
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, spread
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.options import Count, Rate, Size
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import BLUE, ORANGE, finish

LEARNT = 0.1  # loss at which the correct class has a probability of 0.9


QUICK = {"seeds": 5}


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        seeds: Number of random starts, each with its own sequences and labels.
        updates: Maximum number of updates per start.
        hidden_size: Units of the LSTM.
        learning_rate: Learning rate of Adam.
    """

    seeds: Count = 20
    updates: Count = 2000
    hidden_size: Size = 64
    learning_rate: Rate = 1e-3


def run(options: Options) -> Result:
    """Memorise three random sequences from many random starts."""
    seeds, steps = options.seeds, options.updates
    curves = [_train(seed, options) for seed in track(range(seeds), "training")]
    needed = [next((step for step, loss in enumerate(curve) if loss < LEARNT), None) for curve in curves]
    reached = sorted(count for count in needed if count is not None)
    few = min(5, steps)
    first, fifth = ([curve[min(step, len(curve) - 1)] for curve in curves] for step in (0, few))
    lines = [
        f"{seeds} starts: median (lowest to highest); chance level ln 2 = 0.693",
        "",
        f"loss before training       {spread(first)}",
        f"loss after {few} updates       {spread(fifth)}",
        f"updates to a loss below {LEARNT}  {spread(reached, 'g')}, in {len(reached)} of {seeds} starts"
        if reached
        else f"no start reached a loss below {LEARNT} in {steps} updates",
    ]
    numbers: dict[str, Any] = {"loss_at_start": statistics.median(first), "loss_after_5": statistics.median(fifth)}
    numbers |= {"losses_at_start": first, "losses_after_5": fifth, "updates_to_learn": needed}
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for index, curve in enumerate(curves):
        axis.plot(range(len(curve)), curve, color=BLUE, alpha=0.5, linewidth=1, label="" if index else "one start each")
    axis.axhline(LEARNT, color=ORANGE, linestyle="--", label="correct class at probability 0.9")
    axis.axvspan(0, 5, color="0.85", label="the first 5 updates")
    finish(axis, xlabel="update", ylabel="cross-entropy", title="memorising three random sequences")
    measures = [
        Measure("cross-entropy before training (chance level 0.693)", first),
        Measure(f"cross-entropy after {few} updates", fifth),
        Measure(
            f"updates to memorise three sequences (not yet: {steps:,})",
            [steps if count is None else count for count in needed],
            "g",
        ),
    ]
    return Result(lines, numbers, figure, measures=measures)


def _train(seed: int, options: Options) -> list[float]:
    """Return the loss before training and after each update, until it is below `LEARNT`."""
    torch.manual_seed(seed)
    sequences = torch.randn(3, 5, 1)  # (N, L, input_size)
    labels = torch.randint(0, 2, (3,))
    sizes = {"input_size": 1, "hidden_size": options.hidden_size, "num_classes": 2}
    model = RowLSTM(**sizes, bidirectional=False, init="pytorch")
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    curve: list[float] = []
    for _ in range(options.updates + 1):
        loss = F.cross_entropy(model(sequences), labels)
        curve.append(loss.item())
        if curve[-1] < LEARNT:
            break
        update(optimizer, loss)
    return curve
