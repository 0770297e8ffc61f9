"""Initial weights: predict from them by which factor per step the gradient shrinks, for RNN, GRU and LSTM.

On a log scale the gradient of an untrained network follows about a straight line with the distance from the end: it is
multiplied by about the same factor at every step. Can the factor be read off the weights?

A linear RNN, h = U h' + W x, is exact. The gradient k steps back is the product of k matrices that are all the same,

    dL/dh_(T-k) = (U^T)^k a = V D^k V^(-1) a,       a = dL/dh_T,  U^T = V D V^(-1),  D: eigenvalues of U

(columns here, rows in the lesson `vanishing`), so the eigenvalues give it at every distance. Far back the largest
absolute eigenvalue remains, the spectral radius of U: the factor per step. (How far depends on U and a: fitted to 100
steps, the factor is within 5 % of it for PyTorch's U, to 400 within 0.3 %.) For s times an orthogonal U the norm is
exactly s^k |a|. PyTorch draws U from -1/sqrt(H) to 1/sqrt(H), a variance of 1/(3H): by the circular law (Tao & Vu 2008,
"Random matrices: the circular law") the eigenvalues of such a matrix fill a disk of radius sqrt(H variance) = 1/sqrt(3)
= 0.577 at any large width: a wider network forgets as fast. At 512 units it is within 4 % of that from each of ten
seeds; at 32 within 30 %.

With tanh, each factor U is multiplied by slopes below 1, so the radius of U promises too much, the more the larger the
states are. With gates it is the wrong question: the old state also comes through the gate that keeps it, and the way
through U is narrowed by other gates. At the state 0, without input and biases other than that of the gate that keeps
(forget gate f, update gate z), the matrix from one state to the next has, apart from zeros, the eigenvalues

    RNN: l        GRU: z + (1 - z) r l        LSTM: f + i o l          for each eigenvalue l of the candidate's U

with r = i = o = 1/2: the rule of thumb. (LSTM: dc = f dc' + i U dh' and dh = o dc, since tanh has the slope 1 at 0.)
Half-open gates and PyTorch's U: 0.5 + 0.25 * 0.58, about 0.64, though f is 0.5 and U has 0.58. Orthogonal U: a GRU
0.75; an LSTM with a forget bias of 1, this project's default, sigmoid(1) + 0.25 = 0.98. It is gate and weights
together: either alone would be at 0.73 or 0.25. Over 100 steps the rule errs by less than 3 powers of ten for GRU and
LSTM, the radius of U by up to 26, with one exception: an LSTM with a forget bias of 5, where the rule errs by 3 to 6.
There c does not stay near 0 but grows, tanh(c) saturates, and the way through h narrows.

The average step needs no such assumption: take the Jacobian of one step with respect to the whole state (h, and in an
LSTM c) at the states that the network visits, average these matrices, and take the spectral radius. In theory the
radius of an average does not give the growth of a product of different matrices; here it is within a factor of 10 of
the gradient over 100 steps, for every cell, kind of weights and seed (ten seeds).

Measured is the norm of the gradient of the loss with respect to each step's input, as in `vanishing`; the factor is
fitted to its logarithm by least squares, without the first step and the last ten, where all eigenvalues still count.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.gradients import STARTS, Start, build, candidate, gradient_norms, radius
from mnist_lstm.lessons.memory import draw
from mnist_lstm.lessons.options import Count, Size
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import BLUE, CURVES, GREEN, ORANGE, finish

SKIP = 10  # last steps that are left out of the fit
LENGTHS = (20, 400)  # shortest and longest sequence: a fit needs points, and float64 ends at 1e-308
LARGEST = 256  # units: an LSTM's Jacobians of one sequence are then (90, 512, 512)
READ = 8  # sequences whose states are visited for the average step
PREDICTORS = ("radius of U", "rule of thumb", "average step")
LINEAR = {"PyTorch": ("pytorch", 1.0), "orthogonal": ("orthogonal", 1.0), "orthogonal times 0.9": ("orthogonal", 0.9),
          "orthogonal times 1.1": ("orthogonal", 1.1)}  # fmt: skip
WIDTHS = (8, 32, 128, 512)

QUICK = {"seeds": 2}


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        hidden_size: Units of each network, at most 256.
        length: Steps of a sequence, 20 to 400.
        seeds: Number of seeds; results are the median and the range over them.
    """

    hidden_size: Size = 32
    length: Size = 100
    seeds: Count = 5


def run(options: Options) -> Result:
    """Compare measured factors per step with predicted ones."""
    low, high = LENGTHS
    if not low <= options.length <= high:
        raise InputError(f"--length {options.length}: choose {low} to {high} steps")
    if options.hidden_size > LARGEST:
        raise InputError(f"--hidden_size {options.hidden_size}: choose at most {LARGEST} units")
    return summarise(options, [measure(options, seed) for seed in track(range(options.seeds), "measuring gradients")])


def measure(options: Options, seed: int) -> dict[str, Any]:
    """Return all measurements of one seed: of the eight kinds of weights, of linear RNNs, and of widths."""
    starts = {}
    for name, start in STARTS.items():
        model, generator = build(start, seed, options.hidden_size)
        sequences, labels = draw(64, options.length, generator)
        predicted = (
            radius(candidate(model)),
            rule_of_thumb(model, start),
            radius(average_step(model, sequences[:READ])),
        )
        starts[name] = {
            "measured": factor(gradient_norms(model, sequences, labels)),
            **dict(zip(PREDICTORS, predicted, strict=True)),
        }
    linear = {name: measure_linear(init, scale, seed, options) for name, (init, scale) in LINEAR.items()}
    widths = {str(width): radius(candidate(build(STARTS["RNN, PyTorch"], seed, width)[0])) for width in WIDTHS}
    return {"starts": starts, "linear": linear, "widths": widths}


def factor(norms: Sequence[float]) -> float:
    """Fit norms by step ``(L,)`` with a constant factor per step back, without the last `SKIP` steps and the first.

    Raises:
        InputError: a gradient is too small for a float64.
    """
    if 0 in norms:
        raise InputError(f"--length {len(norms)}: a gradient is 0, too small for a float64; choose fewer steps")
    logs = [math.log(norm) for norm in norms[1 : len(norms) - SKIP]]
    return math.exp(-statistics.linear_regression(range(len(logs)), logs).slope)


def rule_of_thumb(model: RowLSTM, start: Start) -> float:
    """Return the spectral radius of a step at the state 0, with no bias but that of the gates that keep."""
    eigenvalues = torch.linalg.eigvals(candidate(model))
    default = 1.0 if (start.cell, start.init) == ("lstm", "orthogonal") else 0.0
    keep = 1 / (1 + math.exp(-(default if start.keep_bias is None else start.keep_bias)))
    through_u = {"rnn": 1.0, "gru": (1 - keep) / 2, "lstm": 0.25}[start.cell]
    return float(((0.0 if start.cell == "rnn" else keep) + through_u * eigenvalues).abs().max())


def average_step(model: RowLSTM, sequences: Tensor) -> Tensor:
    """Return the Jacobian of one step with respect to the whole state, averaged over the states visited.

    Args:
        model: of one layer in one direction.
        sequences: ``(N, L, values)``; the steps are those of `factor`, without the last `SKIP` and the first.

    Returns:
        ``(H, H)``, or for an LSTM ``(2H, 2H)`` with h before c, in float64; row: new state, column: old state.
    """
    cell = by_equations(model.rnn).double()
    weights = cell.weights()
    rows = sequences.double()

    def step(state: Tensor, row: Tensor) -> Tensor:  # (states * H,), (values,)
        parts = dict(zip(cell.states, state.unsqueeze(0).chunk(len(cell.states), dim=1), strict=True))
        new = cell.step(F.linear(row.unsqueeze(0), weights["weight_ih"], weights["bias_ih"]), parts, weights)
        return torch.cat([new[name] for name in cell.states], dim=1)[0]

    jacobians = torch.func.vmap(torch.func.jacrev(step))
    with torch.no_grad():
        gates = cell.trace(rows).gates[0]
        states = torch.cat([gates[name] for name in cell.states], dim=2)  # (N, L, states * H)
        old, now = states[:, : -SKIP - 1], rows[:, 1:-SKIP]  # one sequence at a time, to save memory
        return torch.stack([jacobians(*pair).mean(dim=0) for pair in zip(old, now, strict=True)]).mean(dim=0)


def measure_linear(init: str, scale: float, seed: int, options: Options) -> dict[str, Any]:
    """Measure and predict the gradient of a linear RNN's last state, in a random direction, at each distance."""
    model, generator = build(Start("rnn", init), seed, options.hidden_size)
    u = scale * candidate(model)
    w = model.rnn.get_parameter("weight_ih_l0").detach().double()
    sequence = draw(1, options.length, generator)[0][0].double()
    direction = torch.randn(options.hidden_size, generator=generator, dtype=torch.float64)
    measured = linear_gradients(u, w, sequence, direction)
    predicted = predicted_gradients(u, direction, options.length)
    norms = measured.norm(dim=1)
    return {
        "radius": radius(u),
        "measured": factor(norms.flip(0).tolist()),
        "norms": norms.tolist(),
        "predicted_norms": predicted.norm(dim=1).tolist(),
        "difference": float(((predicted - measured).norm(dim=1) / norms).max()),
    }


def linear_gradients(u: Tensor, w: Tensor, sequence: Tensor, direction: Tensor) -> Tensor:
    """Return the gradient of ``direction * h_T`` with respect to h_(T-k) at distances k = 0 to L - 1, by autograd."""
    state = (w @ sequence[0]).requires_grad_()
    states = [state]
    for row in sequence[1:]:
        states.append(u @ states[-1] + w @ row)
    return torch.stack(torch.autograd.grad(states[-1] @ direction, states[::-1]))  # (L, H)


def predicted_gradients(u: Tensor, direction: Tensor, length: int) -> Tensor:
    """Return the same as `linear_gradients`, from the eigenvalues of U."""
    eigenvalues, vectors = torch.linalg.eig(u.T)
    shares = torch.linalg.solve(vectors, direction.to(vectors.dtype))
    powers = eigenvalues ** torch.arange(length).unsqueeze(1)  # (L, H)
    gradients: Tensor = ((powers * shares) @ vectors.T).real
    return gradients


def decades(predicted: float, measured: float) -> float:
    """Return by how many powers of ten a predicted factor per step is wrong over 100 steps."""
    return 100 * math.log10(predicted / measured)


def summarise(options: Options, seeds: list[dict[str, Any]]) -> Result:
    """Put the measurements of all seeds into a text, numbers and figures."""
    keys = ("measured", *PREDICTORS)
    starts = {name: {key: [seed["starts"][name][key] for seed in seeds] for key in keys} for name in STARTS}
    linear = {name: [seed["linear"][name] for seed in seeds] for name in LINEAR}
    widths = {str(width): [seed["widths"][str(width)] for seed in seeds] for width in WIDTHS}
    errors = {
        name: {
            key: [decades(*pair) for pair in zip(values[key], values["measured"], strict=True)] for key in PREDICTORS
        }
        for name, values in starts.items()
    }
    largest = {
        key: [max(abs(errors[name][key][n]) for name in STARTS) for n in range(len(seeds))] for key in PREDICTORS
    }
    exact = [max(one["difference"] for one in ones) for ones in zip(*linear.values(), strict=True)]
    number = f"{options.seeds} seeds: median (lowest to highest)" if options.seeds > 1 else "1 seed"
    lines = [
        f"{number}; {options.hidden_size} units, {options.length} steps",
        "",
        "a linear RNN: factor per step of the gradient, and relative difference from the prediction at any distance",
        *table(
            ["U", "measured", "radius of U", "difference"],
            [
                [name, *(spread([one[key] for one in ones], ".3f") for key in ("measured", "radius")),
                 f"{max(one['difference'] for one in ones):.0e}"]
                for name, ones in linear.items()
            ],
        ),
        "",
        f"spectral radius of PyTorch's U by width (1/sqrt(3) = {3**-0.5:.3f})",
        *table(["units", "radius"], [[width, spread(values, ".3f")] for width, values in widths.items()]),
        "",
        "factor per step of the gradient, measured and predicted",
        *table(["", *keys], [[name, *(spread(values[key], ".3f") for key in keys)] for name, values in starts.items()]),
        "",
        "error of the prediction over 100 steps, in powers of ten (+: predicted too large)",
        *table(
            ["", *PREDICTORS],
            [[name, *(spread(values[key], "+.1f") for key in PREDICTORS)] for name, values in errors.items()],
        ),
    ]  # fmt: skip
    measures = [
        Measure("linear RNN: largest relative difference between gradient and prediction", exact, ".0e"),
        Measure("spectral radius of PyTorch's recurrent matrix of 512 units", widths["512"], ".3f"),
        *(Measure(f"{name}: factor per step of the gradient", starts[name]["measured"], ".3f")
          for name in ("LSTM, orthogonal", "LSTM, open gates")),
        *(Measure(f"largest error in powers of ten over 100 steps, predicted by the {key}", values, ".1f")
          for key, values in largest.items()),
    ]  # fmt: skip
    numbers = {"starts": starts, "errors": errors, "linear": linear, "widths": widths}
    return Result(lines, numbers, _draw_starts(starts), {"linear": _draw_linear(linear, widths)}, measures)


def _draw_starts(starts: dict[str, dict[str, list[float]]]) -> Figure:
    """Draw measured against predicted factors, a panel per predictor: colour is the cell, the marker the weights."""
    colours, markers = (
        {"RNN": ORANGE, "GRU": BLUE, "LSTM": GREEN},
        {"PyTorch": "o", "orthogonal": "s", "open gates": "^"},
    )
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, len(PREDICTORS), sharex=True, sharey=True)
    for axis, predictor in zip(axes, PREDICTORS, strict=True):
        axis.axline((0.6, 0.6), slope=1, color="0.5", linewidth=1)
        for name, values in starts.items():
            cell, init = name.split(", ")
            style = {"color": colours[cell], "marker": markers[init], "facecolors": "none", "s": 50}
            axis.scatter(values[predictor], values["measured"], label=name, **style)
        axis.set(title=predictor, xlabel="predicted factor per step", ylabel="measured factor per step", aspect="equal")
        axis.tick_params(labelleft=True)
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _draw_linear(linear: dict[str, list[dict[str, Any]]], widths: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    norms, radii = figure.subplots(1, 2, width_ratios=[1.5, 1])
    for (name, ones), (colour, style) in zip(linear.items(), CURVES, strict=True):
        norms.plot(ones[0]["predicted_norms"], style, color=colour, label=name)
        every = len(ones[0]["norms"]) // 20  # 20 dots
        norms.plot(ones[0]["norms"], "o", color=colour, markersize=4, markevery=every)
    title = "a linear RNN, seed 0: autograd (dots), from eigenvalues (lines)"
    finish(norms, title=title, yscale="log", xlabel="distance from the last step", ylabel="gradient norm")
    for seed in zip(*widths.values(), strict=True):
        radii.plot(list(widths), seed, "o-", color=BLUE, linewidth=0.7, alpha=0.7, markersize=4)
    radii.axhline(3**-0.5, color="0.3", linestyle="--", label="1/sqrt(3)")
    radii.plot([], [], "o-", color=BLUE, label="one line per seed")
    finish(radii, title="PyTorch's U", xlabel="units", ylabel="spectral radius", ylim=(0, 1))
    return figure
