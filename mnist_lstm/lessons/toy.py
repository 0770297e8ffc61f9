"""The smallest classifier: three random sequences of five numbers, two classes. How many steps does it need to learn?

A first program for an LSTM often looks like this: a batch of shape (3, 5, 1), that is 3 sequences of 5 steps of 1
number; an `nn.LSTM` of 64 units; a linear layer on its last state; cross-entropy against random labels; Adam with a
rate of 0.001; five steps of training, after which nothing much has changed. Nothing is wrong with it. Cross-entropy
begins at ln 2 = 0.693, what a guess between two classes costs, and a rate of 0.001 moves no weight by more than about
0.001 a step (Kingma & Ba 2015, section 2.1). There is nothing to be generalised here either: the labels are random, and
what is learnt is learnt by heart. The lesson counts how many steps that takes.
"""

import statistics

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from mnist_lstm.figures import BLUE, ORANGE
from mnist_lstm.lessons import Result
from mnist_lstm.lessons.options import Count, Rate, Size
from mnist_lstm.model import RowLSTM
from mnist_lstm.progress import track

LEARNT = 0.1
"""Loss at which the right class has a probability of 0.9."""


def run(
    seeds: Count = 20,
    steps: Count = 2000,
    hidden_size: Size = 64,
    learning_rate: Rate = 1e-3,
) -> Result:
    """Learn three random sequences by heart, again and again.

    Args:
        seeds: Random starts, each with sequences and labels of its own.
        steps: Most steps that a start gets.
        hidden_size: Units of the LSTM.
        learning_rate: Of Adam.
    """
    curves = [_learn(seed, steps, hidden_size, learning_rate) for seed in track(range(seeds), "learning")]
    needed = [next((step for step, loss in enumerate(curve) if loss < LEARNT), None) for curve in curves]
    known = sorted(count for count in needed if count is not None)
    few = min(5, steps)
    first, fifth = (statistics.median(curve[min(step, len(curve) - 1)] for curve in curves) for step in (0, few))
    lines = [
        f"loss before the first step   {first:.3f}  (median of {seeds} starts; ln 2 = 0.693)",
        f"loss after {few} steps           {fifth:.3f}",
    ]
    if known:
        lines.append(
            f"steps to a loss below {LEARNT}   {statistics.median(known):g}  ({known[0]} to {known[-1]}; "
            f"{len(known)} of {seeds} starts)"
        )
    else:
        lines.append(f"a loss below {LEARNT} was not reached in {steps} steps")
    numbers = {"loss_at_start": first, "loss_after_5": fifth, "steps_to_learn": needed}
    return Result(lines, numbers, _draw(curves))


def _learn(seed: int, steps: int, hidden_size: int, learning_rate: float) -> list[float]:
    """Return the loss before the first step and after each, until it is learnt."""
    torch.manual_seed(seed)
    sequences = torch.randn(3, 5, 1)  # (N, L, numbers a step)
    labels = torch.randint(0, 2, (3,))
    model = RowLSTM(1, hidden_size, num_classes=2, init="pytorch")
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    curve: list[float] = []
    for _ in range(steps + 1):
        loss = F.cross_entropy(model(sequences), labels)
        curve.append(loss.item())
        if curve[-1] < LEARNT:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return curve


def _draw(curves: list[list[float]]) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for index, curve in enumerate(curves):
        axis.plot(range(len(curve)), curve, color=BLUE, alpha=0.5, linewidth=1, label="" if index else "one start each")
    axis.axhline(LEARNT, color=ORANGE, linestyle="--", label="learnt: probability 0.9 for the right class")
    axis.axvspan(0, 5, color="0.85", label="the first 5 steps")
    axis.set(xlabel="steps of training", ylabel="cross-entropy", title="three random sequences, learnt by heart")
    axis.legend()
    axis.grid(alpha=0.3)
    return figure
