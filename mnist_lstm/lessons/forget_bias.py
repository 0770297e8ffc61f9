"""How soon an LSTM learns to remember, by the initial bias of its forget gates: 0, 1 and 5 compared.

At the start of training the forget gate is about sigmoid(bias), whatever the input. After L steps the cell state has
been multiplied by it L times, and so has the gradient that flows back to it:

    bias 0: 0.5   to the power 15 is 0.00003
    bias 1: 0.73  to the power 15 is 0.009
    bias 5: 0.993 to the power 15 is 0.9

With the first, almost nothing of step 1 is left at step 16 to learn from. Gers et al. 2000 started with open forget
gates; Jozefowicz et al. 2015 ("An empirical exploration of recurrent network architectures") found that a bias of 1
closes the gap between LSTM and GRU. The best value depends on how long there is to remember; try --length 28.

The task: recall at the last step one of four cues seen at the first, with noise at all others. PyTorch's default bias
is close to 0. Each bias is tried from ten seeds: with a bias of 1 they differ so much, from solved early to not solved
at all, that one or three of them say little. A seed that does not solve the task counts as more than the maximum.
Bias 5 is sooner than bias 1 in every seed, and bias 0 never leaves the chance level.

Some seeds with bias 1 stall at about 0.82 or 0.35. Those would be the losses of networks that recall some cues and
cannot tell the other three apart (3/4 ln 3 = 0.82) or the other two (2/4 ln 2 = 0.35).
"""

import math
import statistics
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, table
from mnist_lstm.lessons.memory import (
    CUES,
    WINDOW,
    draw_chance_level,
    is_solved,
    running_mean,
    seeded,
    train_until_solved,
)
from mnist_lstm.lessons.options import Bias, Count, MemoryOptions, Rate, Size
from mnist_lstm.plots.style import CURVES, finish

QUICK = {"seeds": 3}


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        length: Steps of a sequence.
        biases: Initial biases of the forget gates, such as "[0, 1, 5]".
        seeds: Number of random starts for each bias, from seeds 0, 1, 2 and so on.
        updates: Maximum number of updates per start.
    """

    length: Size = 16
    biases: tuple[Bias, ...] = (0.0, 1.0, 5.0)
    seeds: Count = 10
    updates: Count = 600
    learning_rate: Rate = 0.003


def run(options: Options) -> Result:
    """Count the updates until the cue is recalled."""
    biases, distance = options.biases, options.length - 1
    if not biases or len(set(biases)) < len(biases):
        raise InputError("--biases: needs at least one value and none twice, such as [0, 1, 5]")
    curves: dict[float, list[list[float]]] = {bias: [] for bias in biases}
    for bias, seed in track([(bias, seed) for bias in biases for seed in range(options.seeds)], "training"):
        curves[bias].append(_train(bias, seed, options))
    needed = {bias: [len(curve) if is_solved(curve) else None for curve in tries] for bias, tries in curves.items()}
    rows = []
    for bias, counts in needed.items():
        kept = float(torch.tensor(bias).sigmoid()) ** distance
        solved = f"{sum(count is not None for count in counts)} of {options.seeds}"
        rows.append([f"{bias:g}", f"{kept:.0e}", solved, spread_of_updates(counts, options.updates)])
    lines = [
        f"recall one of {CUES} cues after {distance} steps",
        "",
        *table(["forget bias", f"gate ** {distance}", "solved", "updates: median (lowest to highest)"], rows),
    ]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for index, (bias, tries) in enumerate(curves.items()):
        colour, style = CURVES[index % len(CURVES)]
        for first, curve in enumerate(tries):
            label = f"forget bias {bias:g}" if first == 0 else ""
            steps, smooth = range(1, len(curve) + 1), running_mean(curve)
            axis.plot(steps, smooth, style, color=colour, linewidth=1, alpha=0.7, label=label)
    draw_chance_level(axis)
    title = f"recall a cue after {distance} steps"
    finish(axis, xlabel="update", ylabel=f"cross-entropy, mean of {WINDOW} updates", title=title, ylim=(0, 2))
    numbers = {"length": options.length, "updates_until_solved": {repr(bias): n for bias, n in needed.items()}}
    measures = [
        Measure(
            f"updates until solved (unsolved: {options.updates:,}), forget bias {bias:g}",
            [options.updates if count is None else count for count in counts],
            "g",
        )
        for bias, counts in needed.items()
    ]
    return Result(lines, numbers, figure, measures=measures)


def spread_of_updates(counts: list[int | None], steps: int) -> str:
    """Format counts of updates as ``246 (139 to > 600)``: unsolved ones, None, count as more than ``steps``."""
    known = [math.inf if count is None else count for count in counts]
    low, middle, high = (
        f"{value:g}" if value < math.inf else f"> {steps}"
        for value in (min(known), statistics.median(known), max(known))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def _train(bias: float, seed: int, options: Options) -> list[float]:
    """Return the losses until the task is solved."""
    model, generator = seeded(seed, options.hidden_size, init="pytorch", forget_bias=bias)
    return train_until_solved(model, generator, options.length, options.updates, options)
