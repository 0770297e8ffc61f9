"""Why gradients vanish or explode on their way back through the steps, and what the cell state changes.

Squashed again and again. The sigmoid has a slope of at most 1/4. Applied k times, its slope is a product of k slopes,
at most 1/4 to the power k: the curve becomes flat, and every input gives nearly the same value. tanh has a slope of up
to 1, at 0, one reason for its use inside recurrent cells.

Through the steps. The loss L depends on the state h_t of an RNN through all later states, so that

    dL/dh_t = dL/dh_T J_T ... J_(t+2) J_(t+1),     J_k = diag(tanh'(a_k)) U,     a_k = W x_k + U h_(k-1) + b

a product of T - t matrices: in general it shrinks or grows exponentially with the distance (Hochreiter & Schmidhuber
1997; Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks").

Through the cell state. In an LSTM, c_t = f_t * c_(t-1) + i_t * g_t, and the gates depend on h_(t-1). The gradient from
c_T back to c_t is a sum over all paths through the network. One path goes from cell state to cell state only; its
gradient is the product of the forget gates, f_(t+1) * ... * f_T, element by element, without weights or slopes. It does
not vanish while the gates are open. All other paths lead through a hidden state and so through weights and slopes. The
lesson measures the first path separately from the others. What matters is the open gate, not the LSTM as such: with
gates that start half open, as PyTorch's do, an LSTM loses its gradient nearly as fast as an RNN.

Exploding. With large weights the product grows instead. One update along such a gradient throws the weights far off;
clipping scales down a gradient whose norm exceeds a limit and keeps its direction (Pascanu et al. 2013).

Measured is the norm of the gradient of the loss with respect to each step's input, by distance from the end, before
training, with PyTorch's initial weights, and after it. The task is to recall at the last step one of four cues seen at
the first.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.console import track
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import train_step, update
from mnist_lstm.lessons.memory import CHANCE_LOSS, CUES, draw, seeded
from mnist_lstm.lessons.options import Count, MemoryOptions, Rate, Seed
from mnist_lstm.network.cells import LSTM
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import BLUE, CURVES, ORANGE, PINK, finish

LENGTHS = (28, 100, 400)

CELLS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"cell": "lstm"},
    "LSTM, forget bias 5": {"cell": "lstm", "forget_bias": 5.0},
}

DEPTHS = (1, 2, 3, 5)  # how many times the sigmoid is applied


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        updates: Updates between the two measurements.
        gain: Factor on the orthogonal recurrent weights of the RNN with exploding gradients.
        seed: Seed of weights and sequences.
    """

    updates: Count = 80
    learning_rate: Rate = 0.01
    gain: Rate = 1.5
    seed: Seed = 0


def run(options: Options) -> Result:
    """Measure gradients by distance, path and cell."""
    norms: dict[str, Any] = {when: {name: {} for name in CELLS} for when in ("before", "after")}
    losses: dict[str, dict[int, float]] = {name: {} for name in CELLS}
    for name, length in track([(name, length) for name in CELLS for length in LENGTHS], "measuring gradients"):
        model, generator = seeded(options.seed, options.hidden_size, init="pytorch", **CELLS[name])
        norms["before"][name][length] = gradient_norms(model, *draw(64, length, generator))
        optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
        for _ in range(options.updates):
            losses[name][length] = train_step(model, optimizer, *draw(options.batch_size, length, generator))
        norms["after"][name][length] = gradient_norms(model, *draw(64, length, generator))
    ratios = {
        when: {name: {n: values[0] / values[-1] for n, values in lengths.items()} for name, lengths in cells.items()}
        for when, cells in norms.items()
    }
    slopes, paths, exploding = _slopes(), _paths(options), _explode(options)
    header = ["", *(f"{n} {when}" for when in ratios for n in LENGTHS), *(f"loss {n}" for n in LENGTHS)]
    rows = []
    for name in CELLS:
        cell_ratios = [f"{ratios[when][name][n]:.0e}" for when in ratios for n in LENGTHS]
        rows.append([name, *cell_ratios, *(f"{losses[name][n]:.2f}" for n in LENGTHS)])
    path_rows = [[bias, *(f"{values[-1]:.1e}" for values in parts.values())] for bias, parts in paths.items()]
    final = exploding["final_loss"].items()
    exploding_rows = [[name, f"{exploding['maximum_norm'][name]:.0e}", f"{loss:.2f}"] for name, loss in final]
    lines = [
        f"maximum slope: sigmoid {slopes['sigmoid']:.2f}, tanh {slopes['tanh']:.2f}, "
        f"sigmoid applied {DEPTHS[-1]} times {slopes['iterated'][DEPTHS[-1]]:.1e}",
        "",
        "gradient at the first step / gradient at the last, for sequences of 28, 100 and 400 steps, before and after",
        f"{options.updates} updates, and the loss after them (chance level {CHANCE_LOSS:.2f})",
        *table(header, rows),
        "",
        "gradient of an LSTM's cell state with respect to the cell state 27 steps earlier",
        *table(["forget bias", "all paths", "cell to cell", "other paths"], path_rows),
        "",
        f"an RNN with recurrent weights of norm {options.gain:g} is trained to recall after 5 steps, by SGD at 0.5",
        *table(["", "maximum gradient norm", "final loss"], exploding_rows),
    ]
    numbers = {"slopes": slopes, "norms": norms, "first_over_last": ratios, "losses": losses, "paths": paths}
    return Result(lines, {**numbers, "exploding": exploding}, _draw(norms, paths, exploding))


def gradient_norms(model: nn.Module, sequences: Tensor, labels: Tensor) -> list[float]:
    """Return the norm of the gradient of the loss with respect to each step's input, ``(L,)``, over the batch."""
    sequences = sequences.double().requires_grad_()  # float32 ends at 1e-45
    loss = F.cross_entropy(model.double()(sequences), labels)
    (gradient,) = torch.autograd.grad(loss, sequences)
    model.float()
    norms: list[float] = gradient.norm(dim=(0, 2)).clamp(min=1e-300).tolist()
    return norms


def _iterated(x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = x.sigmoid()
    return x


def _slopes() -> dict[str, Any]:
    """Return the maximum slopes of sigmoid, tanh and the iterated sigmoid."""
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
    curves = {"tanh": x.tanh()} | {f"sigmoid {times}": _iterated(x, times) for times in DEPTHS}
    slopes = {name: float(torch.autograd.grad(y.sum(), x)[0].abs().max()) for name, y in curves.items()}
    iterated = {times: slopes[f"sigmoid {times}"] for times in DEPTHS}
    return {"sigmoid": iterated[1], "tanh": slopes["tanh"], "iterated": iterated}


def _paths(options: Options, length: int = 28) -> dict[str, dict[str, list[float]]]:
    """Split the gradient of the last cell state with respect to earlier ones by path.

    Norms are returned by forget bias, part (all paths, from cell to cell, the rest), and distance 1 to length - 1.
    """
    result = {}
    for bias in (0.0, 1.0, 5.0):
        torch.manual_seed(options.seed)
        sizes = {"input_size": CUES, "hidden_size": options.hidden_size, "bidirectional": False}
        network = RowLSTM(**sizes, init="pytorch", forget_bias=bias)
        sequences, _ = draw(1, length, torch.Generator().manual_seed(options.seed))
        direction = torch.randn(options.hidden_size, dtype=torch.float64)
        layer = LSTM.like(network.rnn.double())
        state = None
        cells, forget_gates = [], []
        for row in sequences.double().unbind(dim=1):
            trace = layer.trace(row.unsqueeze(1), state)  # step by step: each c must be differentiable
            cells.append(trace.state[1].requires_grad_())
            forget_gates.append(trace.gates[0]["f"][0, 0])
            # recompute h from this c, since the other paths begin with h
            state = (trace.gates[0]["o"] * cells[-1].tanh(), cells[-1])
        gradients = torch.autograd.grad((cells[-1][0, 0] * direction).sum(), cells[:-1])
        all_paths = torch.stack([gradient[0, 0] for gradient in reversed(gradients)])  # (27, H), by distance
        cell_path = torch.stack([direction, *reversed(forget_gates[1:])]).detach().cumprod(dim=0)[1:]
        parts = {"all": all_paths, "cell": cell_path, "rest": all_paths - cell_path}
        result[f"{bias:g}"] = {name: [float(gradient.norm()) for gradient in part] for name, part in parts.items()}
    return result


def _explode(options: Options, length: int = 28, distance: int = 5) -> dict[str, Any]:
    """Train an RNN with large recurrent weights to remember for a few steps, with and without clipping."""
    losses: dict[str, list[float]] = {"not clipped": [], "clipped": []}
    norms: dict[str, list[float]] = {name: [] for name in losses}
    for name, limit in zip(losses, (math.inf, 1.0), strict=True):
        model, generator = seeded(options.seed, options.hidden_size, cell="rnn")
        with torch.no_grad():
            model.rnn.get_parameter("weight_hh_l0").mul_(options.gain)
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        for _ in range(300):
            sequences, labels = draw(32, length, generator, place=length - 1 - distance)
            loss = F.cross_entropy(model(sequences), labels)
            norms[name].append(update(optimizer, loss, limit))
            losses[name].append(loss.item())
    final = {name: statistics.fmean(curve[-20:]) for name, curve in losses.items()}
    return {"maximum_norm": {name: max(norms[name]) for name in norms}, "losses": losses, "final_loss": final}


def _draw(norms: dict[str, Any], paths: dict[str, Any], exploding: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(14, 8), layout="constrained")
    (squashed, *by_distance), (slopes, cells, loss) = figure.subplots(2, 3)
    x = torch.linspace(-6, 6, 241)
    for times, (colour, style) in zip(DEPTHS, CURVES, strict=True):
        squashed.plot(x, _iterated(x, times), style, color=colour, label=f"{times} time{'s' if times > 1 else ''}")
    finish(squashed, title="the sigmoid, applied again and again", xlabel="x")
    slopes.plot(x, torch.sigmoid(x) * (1 - torch.sigmoid(x)), "-", color=BLUE, label="sigmoid: at most 1/4")
    slopes.plot(x, 1 - torch.tanh(x) ** 2, "--", color=ORANGE, label="tanh: at most 1")
    finish(slopes, title="slopes", xlabel="x")
    for axis, (when, lengths) in zip(by_distance, norms.items(), strict=True):
        for name, (colour, style) in zip(CELLS, CURVES, strict=True):
            axis.plot(lengths[name][100][::-1], style, color=colour, label=name, linewidth=2)
        title = f"gradient norm, {when} training, 100 steps"
        finish(axis, title=title, yscale="log", xlabel="distance from the last step", ylim=(1e-18, 10))
    for (bias, parts), colour in zip(paths.items(), (PINK, BLUE, ORANGE), strict=True):
        distance = range(1, len(parts["cell"]) + 1)
        cells.plot(distance, parts["cell"], "-", color=colour, label=f"forget bias {bias}: cell to cell")
        cells.plot(distance, parts["rest"], ":", color=colour, label=f"forget bias {bias}: other paths")
    title = "gradient norm of the last cell state"
    finish(cells, title=title, yscale="log", xlabel="distance to the earlier cell state", ylim=(1e-8, 100))
    for (name, curve), colour, style in zip(exploding["losses"].items(), (PINK, BLUE), (":", "-"), strict=True):
        loss.plot(range(1, len(curve) + 1), curve, style, color=colour, label=name)
    finish(loss, title="an RNN with exploding gradients", xlabel="update", ylabel="loss", yscale="log")
    return figure
