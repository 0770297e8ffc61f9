"""The forget gate's bias decides whether an LSTM can learn to remember: 0, 1 and 5 beside each other.

At the start of training the forget gate is about sigmoid(bias), whatever the input. What the cell state held L steps
ago has been multiplied by it L times, and so has the gradient that is to reach back to it:

    bias 0: 0.5   to the power 15 is 0.00003
    bias 1: 0.73  to the power 15 is 0.009
    bias 5: 0.993 to the power 15 is 0.9

With the first, next to nothing of step 1 is left at step 16 that could be learnt from. Gers et al. 2000 began with open
forget gates; Jozefowicz et al. 2015 ("An empirical exploration of recurrent network architectures") found that a bias
of 1 closes the gap between LSTM and GRU. What is best depends on how long there is to be remembered: --length
28 is too far for a bias of 1 in 600 steps of training, and not for 5.

The task: one of four marks is read at the first step, noise at all others, and the mark is to be named at the last.
PyTorch begins with a bias near 0.
"""

import math
import statistics
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from mnist_lstm.errors import InputError
from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import train_step
from mnist_lstm.lessons.memory import MARKS, draw, mark_guess
from mnist_lstm.lessons.options import Bias, Count, Rate, Size
from mnist_lstm.model import RowLSTM
from mnist_lstm.progress import track

SOLVED = 0.1
"""Mean loss of 10 batches, none of them seen before, at which the task counts as solved; a guess costs ln 4 = 1.39."""

WINDOW = 10


def run(
    length: Size = 16,
    biases: list[Bias] = [0.0, 1.0, 5.0],  # noqa: B006 - jsonargparse copies it
    seeds: Count = 3,
    steps: Count = 600,
    hidden_size: Size = 32,
    batch_size: Size = 32,
    learning_rate: Rate = 0.003,
) -> Result:
    """Count the steps of training until the mark is remembered.

    Args:
        length: Steps of a sequence.
        biases: Of the forget gates, such as "[0, 1, 5]".
        seeds: Random starts for each.
        steps: Most steps that a start gets.
        hidden_size: Units of the LSTM.
        batch_size: Sequences a step.
        learning_rate: Of Adam.

    Raises:
        InputError: there are no biases.
    """
    if not biases or len(set(biases)) < len(biases):
        raise InputError("--biases: there must be at least one and none twice, such as [0, 1, 5]")
    tries = [(bias, seed) for bias in biases for seed in range(seeds)]
    curves: dict[float, list[list[float]]] = {bias: [] for bias in biases}
    for bias, seed in track(tries, "learning to remember"):
        curves[bias].append(_learn(bias, seed, length, steps, hidden_size, batch_size, learning_rate))
    needed = {bias: [len(curve) if is_solved(curve) else None for curve in of] for bias, of in curves.items()}
    rows = []
    for bias, counts in needed.items():
        solved = sum(count is not None for count in counts)
        median = statistics.median(math.inf if count is None else count for count in counts)
        told = f"{median:g}" if math.isfinite(median) else f"over {steps}"
        kept = float(torch.tensor(bias).sigmoid()) ** (length - 1)
        rows.append([f"{bias:g}", f"{kept:.0e}", f"{solved} of {seeds}", told])
    header = ["forget bias", f"gate ** {length - 1}", "solved", "steps, median"]
    numbers = {"length": length, "steps_until_solved": {repr(bias): counts for bias, counts in needed.items()}}
    lines = [f"one of {MARKS} marks is to be named {length - 1} steps later", "", *table(header, rows)]
    return Result(lines, numbers, _draw(curves, length))


def is_solved(curve: Sequence[float]) -> bool:
    """Tell whether the last losses are small enough."""
    return len(curve) >= WINDOW and statistics.fmean(curve[-WINDOW:]) < SOLVED


def _learn(
    bias: float, seed: int, length: int, steps: int, hidden_size: int, batch_size: int, learning_rate: float
) -> list[float]:
    """Return the losses until the task is solved."""
    torch.manual_seed(seed)
    model = RowLSTM(MARKS, hidden_size, num_classes=MARKS, init="pytorch", forget_bias=bias)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    generator = torch.Generator().manual_seed(seed)
    curve: list[float] = []
    while len(curve) < steps and not is_solved(curve):
        curve.append(train_step(model, optimiser, *draw(batch_size, length, generator))[0])
    return curve


def _draw(curves: dict[float, list[list[float]]], length: int) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    looks = [(PINK, ":"), (BLUE, "--"), (ORANGE, "-"), (GREEN, "-.")]
    for index, (bias, of) in enumerate(curves.items()):
        colour, style = looks[index % len(looks)]
        for first, curve in enumerate(of):
            label = f"forget bias {bias:g}" if first == 0 else ""
            axis.plot(range(1, len(curve) + 1), curve, style, color=colour, linewidth=1.5, label=label)
    mark_guess(axis)
    axis.set(xlabel="step of training", ylabel="cross-entropy", title=f"remembering a mark for {length - 1} steps")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
