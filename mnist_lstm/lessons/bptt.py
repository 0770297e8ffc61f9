"""Truncated back-propagation through time: what it saves, and what it can no longer learn.

To train on a sequence of T steps, back-propagation keeps the gates of every step until it returns to them: memory and
time grow with T. Truncated back-propagation cuts the sequence into pieces of k steps. The state is carried from piece
to piece as a number, so the forward pass is the same, but no gradient crosses a cut (`state.detach()`; Williams & Peng
1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories").

Pieces are counted from the end. The last one holds the last k steps, so its gradient reaches at most k - 1 steps back
from the last step. What happened before gets no gradient: nothing teaches the network to store it. What lies within the
last piece is learnt as before.

The task: recall one of four cues at the last step. In one run the cue comes a few steps before the end, within the last
piece, in the other at the first step. Each is trained from several seeds, because one proves little: a network that has
not solved the task after 500 updates may have been unlucky.

A trace of the far cue is left all the same. A forget gate with an initial bias of 3 is open at 0.95, and 0.95 to the
power 39 is 0.15: so much of what the first step wrote is still there at the last, among the noise of all others. It can
be read without having been stored on purpose, and in some seeds the loss comes to lie below the chance level. The task
is not solved by it. With --forget_bias 5 the trace is 0.77, and the loss falls below the chance level in most seeds.
"""

import statistics
import time
import weakref
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.memory import (
    CHANCE_LOSS,
    WINDOW,
    draw,
    draw_chance_level,
    final_loss,
    is_solved,
    running_mean,
    seeded,
)
from mnist_lstm.lessons.options import Bias, Count, MemoryOptions, Size
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, finish

QUICK = {"seeds": 1}


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        length: Steps of a sequence.
        piece: Steps that a truncated gradient flows back.
        updates: Updates of each network.
        forget_bias: Initial bias of the forget gates.
        seeds: Number of random starts, from seeds 0, 1, 2 and so on.
    """

    length: Size = 40
    piece: Size = 10
    updates: Count = 500
    forget_bias: Bias = 3.0
    seeds: Count = 5


def run(options: Options) -> Result:
    """Train with whole and with truncated gradients, on a near and on a far cue."""
    length, piece = options.length, options.piece
    if not 2 <= piece < length:
        raise InputError(f"--piece {piece}: must be at least 2 and less than --length {length}")
    distances = {"near": piece // 2, "far": length - 1}
    pieces = {"whole": length, "truncated": piece}
    names = {"whole": "whole", "truncated": f"cut every {piece} steps"}
    curves: dict[str, dict[str, list[list[float]]]] = {place: {method: [] for method in pieces} for place in distances}
    seconds: dict[str, list[float]] = {method: [] for method in pieces}
    kept: dict[str, int] = {}
    for seed, place, method in track(list(product(range(options.seeds), distances, pieces)), "training"):
        curve, took, kept[method] = _train(options, seed, length - 1 - distances[place], pieces[method])
        curves[place][method].append(curve)
        seconds[method] += took
    time_ratio = statistics.median(seconds["truncated"]) / statistics.median(seconds["whole"])
    losses = {
        place: {method: [final_loss(curve) for curve in tries] for method, tries in methods.items()}
        for place, methods in curves.items()
    }
    rows = [
        [
            f"{distances[place]} steps before the end",
            names[method],
            spread(losses[place][method]),
            f"{sum(map(is_solved, curves[place][method]))} of {options.seeds}",
            f"{kept[method] / 1024:,.0f} KiB",
        ]
        for place, method in product(distances, pieces)
    ]
    header = ["cue", "gradient", "final loss: median (lowest to highest)", "solved", "kept for backward"]
    lines = [
        *table(header, rows),
        "",
        f"chance level {CHANCE_LOSS:.3f}; an update with truncated gradients takes {time_ratio:.2f} of the time",
    ]
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axis, (place, methods) in zip(figure.subplots(1, 2, sharey=True), curves.items(), strict=True):
        for (method, tries), (colour, style) in zip(methods.items(), CURVES, strict=False):
            for index, curve in enumerate(tries):
                label = "" if index else f"gradient: {names[method]}"
                steps, smooth = range(1, len(curve) + 1), running_mean(curve)
                axis.plot(steps, smooth, style, color=colour, linewidth=1, alpha=0.7, label=label)
        draw_chance_level(axis)
        title = f"a cue {distances[place]} steps before the end"
        finish(axis, title=title, xlabel="update", ylabel=f"cross-entropy, mean of {WINDOW} updates", ylim=(0, 2))
    numbers = {"losses": losses, "time_ratio": time_ratio, "bytes_kept": kept, "curves": curves}
    measures = [
        Measure(f"loss, cue {distances[place]} steps before the end, gradient {names[method]}", losses[place][method])
        for place, method in product(distances, pieces)
    ]
    measures += [
        Measure(f"KiB kept for the backward pass, gradient {names[method]}", [kept[method] / 1024], ",.0f")
        for method in pieces
    ]
    return Result(lines, numbers, figure, measures=measures)


def forward(model: RowLSTM, sequences: Tensor, piece: int) -> Tensor:
    """Classify ``(N, L, input_size)`` by a model of one direction; cut gradients every ``piece`` steps from the end."""
    state = None
    length = sequences.shape[1]
    cuts = tuple(range(length % piece or piece, length, piece))
    for part in sequences.tensor_split(cuts, dim=1):
        if state is not None:
            state = tuple(values.detach() for values in state)
        outputs, state = model.rnn(part, state)
    logits: Tensor = model.head(outputs[:, -1])
    return logits


def _train(options: Options, seed: int, place: int, piece: int) -> tuple[list[float], list[float], int]:
    """Return losses, seconds of each update, and the bytes that one update keeps for its backward pass."""
    model, generator = seeded(seed, options.hidden_size, init="pytorch", forget_bias=options.forget_bias)
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    losses, seconds = [], []
    for _ in range(options.updates):
        sequences, labels = draw(options.batch_size, options.length, generator, place)
        start = time.perf_counter()
        loss = F.cross_entropy(forward(model, sequences, piece), labels)
        update(optimizer, loss, 1.0)
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    return losses, seconds, _bytes_kept(model, sequences, labels, piece)


def _bytes_kept(model: RowLSTM, sequences: Tensor, labels: Tensor, piece: int) -> int:
    """Return how many bytes wait for the backward pass after the loss has been computed."""
    waiting: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def pack(tensor: Tensor) -> Tensor:
        waiting.add(kept := tensor.detach())  # an output refers to its graph, which would then keep itself alive
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept):
        loss = F.cross_entropy(forward(model, sequences, piece), labels)
    storages = {storage.data_ptr(): storage.nbytes() for kept in waiting if (storage := kept.untyped_storage())}
    del loss  # it has held the graph until here
    return sum(storages.values())
