"""For how many steps a unit remembers, by its forget gate, and whether it helps to start with many time scales.

A unit whose forget gate stands at f keeps the share f per step. What was written k steps ago counts f^k:

    c_t = i g_t + f i g_(t-1) + f^2 i g_(t-2) + ...        1 + f + f^2 + ... = 1 / (1 - f)

so that the cell state weighs as much as the last 1/(1 - f) steps would without forgetting. Call that its time scale. (A
memory has fallen to 1/e after -1/ln f steps, which lies between f/(1 - f) and 1/(1 - f): for long memories the same.)
With f = sigmoid(b), the time scale is exactly

    1 / (1 - f) = 1 + e^b        bias 0: 2 steps    bias 1: 3.7    bias 5: 149    bias log(T - 1): T

Chrono initialisation (Tallec & Ollivier 2018, "Can recurrent neural networks warp time?") turns this around. Where
dependencies span at most T_max steps, each unit draws its own bias, and its input gate gets the negative one:

    b_f = log(u), u uniform from 1 to T_max - 1        b_i = -b_f

The time scales are then uniform from 2 to T_max. At the start the input gate is 1 - f: it lets in little of the noise.

The task: recall at the last step one of four cues seen at the first, with noise at all others; T_max is the sequence's
length. Chrono changes two things at once, the spread of the time scales and the input gates. A fourth start tells them
apart: every unit has the longest time scale, b_f = log(T_max - 1), with b_i = -b_f, as in chrono without its spread.

What holds here, over seeds 0 to 9. After 15 steps a constant bias of 5 is sooner than chrono in 9 of them. Over 60
steps it succeeds within 500 updates in 2, and chrono in 9. But one time scale for all units succeeds in all, and is
sooner than chrono in 9 at either gap: what helps over 60 steps is the closed input gate, not the spread. The same
forget bias, log(60), with the input gate as it was succeeds in 4; a bias of 5 with an input bias of -5 in all 10. Yet
this task has a single gap, and a spread is meant for many.

Training makes memories longer where it succeeds: after 15 steps the median unit's time scale has grown in every network
with a bias of 5, one time scale or chrono. It need not be the median unit that remembers: in the chrono networks for 60
steps, its time scale is shorter than the gap, and the slowest unit's longer.

Measured is each unit's forget gate, on sequences new to the network, averaged over all their steps and then over the
sequences; its time scale is 1/(1 - that mean), before the first update and after the last. And the updates until the
task is solved, as in the lesson `forget-bias`, where a bias of 1 solves it more often, with 32 units and a learning
rate of 0.003 instead of 16 and 0.01.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.forget_bias import spread_of_updates
from mnist_lstm.lessons.memory import CUES, draw, is_solved, seeded, train_until_solved
from mnist_lstm.lessons.options import Ahead, Count, MemoryOptions, Rate, Size
from mnist_lstm.network.cells import LSTM
from mnist_lstm.network.init import chrono_biases, set_biases
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, finish

STARTS = ("forget bias 1", "forget bias 5", "one time scale", "chrono")
EPSILON = 2**-53  # what a float64 below 1 lacks to 1 at least
MEASURED = 100  # sequences over which the gates are averaged


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        gaps: Steps from the cue to the answer, such as "[15, 40, 60]".
        updates: Maximum number of updates of each network.
        seeds: Number of networks of each start and gap.
    """

    gaps: tuple[Ahead, ...] = (15, 60)
    updates: Count = 500
    hidden_size: Size = 16
    learning_rate: Rate = 0.01
    seeds: Count = 5


QUICK = {"seeds": 1, "updates": 400}


class Training(NamedTuple):
    """A network's training.

    Attributes:
        updates: until the task was solved; None if it was not.
        before: time scale of each unit before the first update, in steps ``(H,)``.
        after: the same after the last update.
    """

    updates: int | None
    before: list[float]
    after: list[float]


def run(options: Options) -> Result:
    """Train networks from several starts on several gaps."""
    gaps = options.gaps
    if not gaps or len(set(gaps)) < len(gaps):
        raise InputError("--gaps: needs at least one number of steps and none twice, such as [15, 60]")
    tasks = [(gap, start, seed) for gap in gaps for start in STARTS for seed in range(options.seeds)]
    done = {task: train(*task, options) for task in track(tasks, "training")}
    trained = {
        gap: {start: [done[gap, start, seed] for seed in range(options.seeds)] for start in STARTS} for gap in gaps
    }
    lines = [f"recall one of {CUES} cues; {options.seeds} seeds, {options.hidden_size} units"]
    measures = []
    for gap, starts in trained.items():
        rows = []
        for start, ones in starts.items():
            counts = [one.updates for one in ones]
            solved = sum(count is not None for count in counts)
            scales = [spread([statistics.median(scales) for scales in column], ".1f") for column in _columns(ones)]
            text = spread_of_updates(counts, options.updates)
            rows.append([start, *scales, f"{solved} of {options.seeds}", text])
            capped = [float(options.updates if count is None else count) for count in counts]
            name = f"{start}: updates until a cue is recalled after {gap} steps (unsolved: {options.updates})"
            measures.append(Measure(name, capped, ".0f"))
        header = ["start", "time scale before", "after", "solved", "updates until solved"]
        lines += ["", f"after {gap} steps; time scale: of each network's median unit, in steps", *table(header, rows)]
    lines += ["", "each with median (lowest to highest) over the seeds"]
    numbers = {
        str(gap): {start: [one._asdict() for one in ones] for start, ones in starts.items()}
        for gap, starts in trained.items()
    }
    more = {"updates": _draw_updates(trained, options)}
    return Result(lines, {"gaps": numbers}, _draw_scales(trained), more, measures)


def biases(start: str, hidden_size: int, longest: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Return initial biases of the forget gates ``(H,)``, and of the input gates, None where they stay PyTorch's own.

    ``longest`` is the number of steps that a dependency spans at most, T_max.
    """
    if start == "chrono":
        return chrono_biases(hidden_size, longest, generator)
    if start == "one time scale":
        forget = torch.full((hidden_size,), math.log(max(longest - 1, 1)))
        return forget, -forget
    return torch.full((hidden_size,), float(start.removeprefix("forget bias "))), None


def train(gap: int, start: str, seed: int, options: Options) -> Training:
    """Train a network until it recalls a cue after ``gap`` steps, or for the maximum number of updates."""
    length = gap + 1
    model, generator = seeded(seed, options.hidden_size, init="pytorch")
    set_biases(model.rnn, *biases(start, options.hidden_size, length, generator))
    fresh, _ = draw(MEASURED, length, torch.Generator().manual_seed(1_000_000 + seed))
    before = time_scales(model, fresh)
    losses = train_until_solved(model, generator, length, options.updates, options)
    return Training(len(losses) if is_solved(losses) else None, before, time_scales(model, fresh))


@torch.no_grad()
def time_scales(model: RowLSTM, sequences: Tensor) -> list[float]:
    """Return 1 / (1 - f) of each unit ``(H,)``, in steps, f averaged over steps and sequences ``(N, L, CUES)``."""
    gates = LSTM.like(model.rnn.double()).trace(sequences.double()).gates[0]
    model.float()
    kept = gates["f"].mean(dim=(0, 1)).clamp(max=1 - EPSILON)  # a gate may be 1 to the last digit
    scales: list[float] = (1 / (1 - kept)).tolist()
    return scales


def _columns(ones: Sequence[Training]) -> tuple[list[list[float]], list[list[float]]]:
    return [one.before for one in ones], [one.after for one in ones]


def _draw_scales(trained: dict[int, dict[str, list[Training]]]) -> Figure:
    """Draw for the longest gap the share of units with at least a time scale, before and after training."""
    gap = max(trained)
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, part, title in zip(axes, (0, 1), ("before training", "after training"), strict=True):
        for (start, ones), (colour, style) in zip(trained[gap].items(), CURVES, strict=True):
            for index, scales in enumerate(_columns(ones)[part]):
                shares = [1 - rank / len(scales) for rank in range(len(scales))]
                label = start if index == 0 else ""
                axis.step(sorted(scales), shares, style, where="pre", color=colour, linewidth=1, label=label)
        axis.axvline(gap, color="0.5", linewidth=1, zorder=0)
        place = (gap, 0.02)
        axis.annotate(" the gap", place, xycoords=("data", "axes fraction"), color="0.4")
        finish(axis, title=f"{title}, gap {gap}", xscale="log", xlabel="time scale 1/(1 - f) in steps", ylim=(0, 1.02))
        axis.set_ylabel("share of units with at least that")
        axis.tick_params(labelleft=True)
    left, right = (min(axis.get_xlim()[0] for axis in axes), max(axis.get_xlim()[1] for axis in axes))
    for axis in axes:
        axis.set_xlim(left, right)
    axes[0].legend(loc="upper right")
    axes[1].get_legend().remove()
    return figure


def _draw_updates(trained: dict[int, dict[str, list[Training]]], options: Options) -> Figure:
    """Draw the updates until the task was solved: one dot per seed."""
    figure = Figure(figsize=(5 * len(trained), 4), layout="constrained")
    for axis, (gap, starts) in zip(figure.subplots(1, len(trained), squeeze=False)[0], trained.items(), strict=True):
        for place, (ones, (colour, _)) in enumerate(zip(starts.values(), CURVES, strict=True)):
            for index, one in enumerate(ones):
                x = place + 0.4 * (index + 0.5) / len(ones) - 0.2
                marker, y = ("x", options.updates) if one.updates is None else ("o", one.updates)
                axis.plot(x, y, marker, color=colour)
        axis.set_xticks(range(len(starts)), [name.replace(" ", "\n", 1) for name in starts])
        title = f"recall a cue after {gap} steps (x: not solved)"
        axis.set(title=title, ylabel="updates until solved", ylim=(0, 1.06 * options.updates))
        axis.grid(alpha=0.3, axis="y")
    return figure
