"""Truncated back-propagation through time: what it saves, and what can no longer be learnt.

To train on a sequence of T steps, back-propagation keeps every step's gates until it comes back to them: memory and
time grow with T. Truncated back-propagation cuts the sequence into pieces of k steps. The state is carried from piece
to piece as a number, so that the forward pass is the same, but no gradient crosses a cut (`state.detach()`; Williams &
Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories").

What happened more than k steps before the loss then gets no gradient: nothing tells the network to store it. It may
still be remembered by chance, and what is within k steps is learnt as before.

The task: one of four marks is to be named at the last step. In one run it comes a few steps before the end, within the
last piece, in the other at the first step.
"""

import statistics
import time
import weakref
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.errors import InputError
from mnist_lstm.figures import BLUE, ORANGE
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.memory import GUESS, MARKS, draw, mark_guess
from mnist_lstm.lessons.options import Bias, Count, Rate, Seed, Size
from mnist_lstm.model import RowLSTM
from mnist_lstm.progress import track


def run(
    length: Size = 40,
    piece: Size = 10,
    steps: Count = 400,
    hidden_size: Size = 32,
    forget_bias: Bias = 2.0,
    batch_size: Size = 32,
    learning_rate: Rate = 0.005,
    seed: Seed = 0,
) -> Result:
    """Train with whole and with cut gradients, on a mark that is near and on one that is far.

    Args:
        length: Steps of a sequence.
        piece: Steps that a gradient goes back when it is cut.
        steps: Of training.
        hidden_size: Units of the LSTM.
        forget_bias: Of its gates at the start: 2 lets a gradient through 40 steps; with 5 the mark itself would get
            through them, and could be read without having been learnt.
        batch_size: Sequences a step.
        learning_rate: Of Adam.
        seed: Of weights and sequences.

    Raises:
        InputError: a piece is no part of the sequence.
    """
    if not 2 <= piece < length:
        raise InputError(f"--piece {piece}: must be at least 2 and less than the sequence's {length} steps")
    places = {"near": length - 1 - piece // 2, "far": 0}
    methods: dict[str, int | None] = {"whole": None, "truncated": piece}
    curves: dict[str, dict[str, list[float]]] = {place: {} for place in places}
    seconds: dict[str, list[float]] = {}
    kept: dict[str, int] = {}
    for place, method in track([(place, method) for place in places for method in methods], "training"):
        curves[place][method], took, kept[method] = _train(
            places[place], methods[method], length, steps, hidden_size, batch_size, learning_rate, seed, forget_bias
        )
        seconds[method] = seconds.get(method, []) + took
    losses = {
        place: {method: statistics.fmean(curve[-10:]) for method, curve in of.items()} for place, of in curves.items()
    }
    time_ratio = statistics.median(seconds["truncated"]) / statistics.median(seconds["whole"])
    header = [
        "gradient",
        f"loss, mark {length - 1 - places['near']} steps before the end",
        f"{length - 1} steps before",
    ]
    rows = [
        [name, f"{losses['near'][method]:.3f}", f"{losses['far'][method]:.3f}", f"{kept[method] / 1024:,.0f} KiB"]
        for name, method in (("whole", "whole"), (f"cut every {piece} steps", "truncated"))
    ]
    lines = [
        *table([*header, "kept for it"], rows),
        "",
        f"a guess costs {GUESS:.3f}; a step with cut gradients takes {time_ratio:.2f} of the time",
    ]
    numbers: dict[str, Any] = {"losses": losses, "time_ratio": time_ratio, "bytes_kept": kept, "curves": curves}
    return Result(lines, numbers, _draw(curves, piece, length))


def forward(model: RowLSTM, sequences: Tensor, piece: int | None) -> Tensor:
    """Read sequences, and cut the gradient now and then.

    Args:
        model: of one direction.
        sequences: ``(N, L, numbers a step)``.
        piece: steps, counted from the end, after each of which the gradient is cut; None for never.

    Returns:
        Logits ``(N, num_classes)``.
    """
    state = None
    length = sequences.shape[1]
    first = length if piece is None else length % piece or piece
    for part in sequences.tensor_split(tuple(range(first, length, piece or length)), dim=1):
        if state is not None:
            state = tuple(values.detach() for values in state)
        outputs, state = model.rnn(part, state)
    logits: Tensor = model.head(outputs[:, -1])
    return logits


def _train(
    place: int,
    piece: int | None,
    length: int,
    steps: int,
    hidden_size: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    forget_bias: float,
) -> tuple[list[float], list[float], int]:
    """Return losses, seconds of each step, and the bytes that one step keeps for its gradient."""
    torch.manual_seed(seed)
    model = RowLSTM(MARKS, hidden_size, num_classes=MARKS, init="pytorch", forget_bias=forget_bias)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    generator = torch.Generator().manual_seed(seed)
    losses, seconds = [], []
    for _ in range(steps):
        sequences, labels = draw(batch_size, length, generator, place)
        start = time.perf_counter()
        loss = F.cross_entropy(forward(model, sequences, piece), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    return losses, seconds, _bytes_kept(model, sequences, labels, piece)


def _bytes_kept(model: RowLSTM, sequences: Tensor, labels: Tensor, piece: int | None) -> int:
    """Return how many bytes wait for the backward pass when a loss has been computed."""
    waiting: weakref.WeakSet[_Kept] = weakref.WeakSet()

    def pack(tensor: Tensor) -> _Kept:
        kept = _Kept(tensor)
        waiting.add(kept)
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        loss = F.cross_entropy(forward(model, sequences, piece), labels)
    storages = {storage.data_ptr(): storage.nbytes() for kept in waiting if (storage := kept.tensor.untyped_storage())}
    del loss  # until here it has held its graph
    return sum(storages.values())


class _Kept:
    """A tensor that a graph keeps for its backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # an output knows its graph, which would then keep itself alive


def _draw(curves: dict[str, dict[str, list[float]]], piece: int, length: int) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = {"near": f"a mark {piece // 2} steps before the end", "far": f"a mark {length - 1} steps before the end"}
    for axis, (place, of) in zip(figure.subplots(1, 2, sharey=True), curves.items(), strict=True):
        for (method, curve), (colour, style) in zip(of.items(), ((BLUE, "-"), (ORANGE, "--")), strict=True):
            label = "whole gradient" if method == "whole" else f"cut every {piece} steps"
            axis.plot(range(1, len(curve) + 1), curve, style, color=colour, label=label)
        mark_guess(axis)
        axis.set(title=titles[place], xlabel="step of training", ylabel="cross-entropy")
        axis.grid(alpha=0.3)
        axis.legend()
    return figure
