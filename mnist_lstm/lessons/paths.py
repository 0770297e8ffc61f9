"""Paths by crossings: how often a gradient leaves an LSTM's cell state on its way back, and which ways carry the most.

The gradient from the last cell state c_T back to an earlier one is a sum over all paths through the network. The path
from cell state to cell state alone, the highway, is one of them; the lesson `vanishing` shows that the others together
can carry more. Here they are sorted by the number of their crossings: how many hidden states a path goes through.

    c_t = f * c' + i * g        h_t = o * tanh(c_t)        i, f, g, o depend on h'

One step back, a gradient can go (s is the sigmoid's slope of a gate, such as s_i = i (1 - i), and c' the old c)

    c_t to c'    times f_t
    c_t to h'    times s_i g U_i + s_f c' U_f + i (1 - g^2) U_g: through the gates i, f and the candidate
    h_t to h'    times s_o tanh(c_t) U_o: through the output gate
    h_t to c_t   times o (1 - tanh(c_t)^2), within a step

Let y count the crossings: a polynomial C_t(y) = C_t0 + C_t1 y + C_t2 y^2 + ... holds the gradient with respect to c_t
in parts, C_tn being that of the paths with n crossings, and H_t(y) the same for h_t, not counting h_t itself. Then

    H_t(y) = A_(t+1) C_(t+1)(y) + y B_(t+1) H_(t+1)(y)        A: the second way above, transposed; B: the third
    C_t(y) = f_(t+1) * C_(t+1)(y) + y o_t (1 - tanh(c_t)^2) * H_t(y)

from C_T = the direction in which c_T is looked at and H_T = 0. C_t(1) is the whole gradient, all parts together: they
agree with autograd to 1e-12. C_t(0) is the product of the forget gates. It is also all that is left if every h is
detached; at random steps this has been proposed for training (Kanuparthi et al. 2019, "h-detach").

With every factor replaced by 1, C_t(1) counts the paths: 2, 5, 13, 34, ..., every second Fibonacci number. Over 27
steps there are 139,583,862,445. The highway is one of them; even where no other is as strong, the others are many.

A rule of thumb. Near the state 0, one step multiplies by f on the highway and by about i o / sqrt(3) = 0.144 across,
for half-open gates and PyTorch's initial U (spectral radius about 1/sqrt(3), see the lesson `init`). The terms of (f +
0.144 y)^k are those of k tosses of a coin that shows a crossing with the probability 0.144 / (f + 0.144). In 27 steps
that makes 6.0, 4.5 and 3.4 crossings with a forget bias of 0, 1 and 5. Measured, weighted by the norms of the parts,
over ten seeds: 5.7, 4.1 and 2.3. (With a bias of 5, c grows, tanh(c) becomes flat, and the ways across narrow.) The
mean number grows with every step back, however open the gates are, so the highway's share shrinks: to about 0.2 %, 1 %
and 8.5 %.

What cancels: the parts do not point the same way; their norms add up to 1.8 to 9 times the norm of the whole gradient.

After training. A network with bias 5 learns in about 100 updates to recall at the last step a cue seen at the first.
Then the highway's share over 14 steps is larger than before; over all 27 steps, back to the cue, paths have more
crossings than before, and the parts point nearly the same way. (All of this in ten of ten seeds.)
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.console import track
from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.gradients import OPEN, PATH_BIASES
from mnist_lstm.lessons.memory import draw, is_solved, seeded, train_until_solved
from mnist_lstm.lessons.options import Count, MemoryOptions, Size
from mnist_lstm.network.cells import Gates, by_equations
from mnist_lstm.plots.style import CURVES, draw_band, finish

TRAINED = f"{OPEN:g}, trained"
NAMES = (*(f"{bias:g}" for bias in PATH_BIASES), TRAINED)
LENGTHS = (2, 100)  # shortest and longest sequence
READ = 16  # sequences
DRAWN = (0, 1, 3, 6)  # numbers of crossings with a curve
ACROSS = 0.25 / math.sqrt(3)  # rule of thumb: factor of a crossing, with half-open input and output gates

QUICK = {"seeds": 2}


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        length: Steps of a sequence, 2 to 100.
        updates: Maximum number of updates of the network that is trained to recall the first step's cue at the last.
        seeds: Number of seeds; results are the median and the range over them.
    """

    length: Size = 28
    updates: Count = 600
    seeds: Count = 5


def run(options: Options) -> Result:
    """Split gradients by crossings, by forget bias, and after training."""
    low, high = LENGTHS
    if not low <= options.length <= high:
        raise InputError(f"--length {options.length}: choose {low} to {high} steps")
    seeds = [measure(options, seed) for seed in track(range(options.seeds), "splitting gradients")]
    return summarise(options, {name: [seed[name] for seed in seeds] for name in NAMES})


def measure(options: Options, seed: int) -> dict[str, dict[str, Any]]:
    """Return the measurements of one seed by the names of the networks."""
    result = {}
    for name in NAMES:
        bias = float(name.removesuffix(", trained"))
        model, generator = seeded(seed, options.hidden_size, init="pytorch", forget_bias=bias)
        sequences, _ = draw(READ, options.length, generator)
        direction = torch.randn(options.hidden_size, generator=generator, dtype=torch.float64)
        updates = options.updates if name == TRAINED else 0
        losses = train_until_solved(model, generator, options.length, updates, options)
        own = measure_one(model.rnn, sequences, direction)
        result[name] = own | {"updates": len(losses), "solved": is_solved(losses)}
    return result


def measure_one(layer: nn.RNNBase, sequences: Tensor, direction: Tensor) -> dict[str, Any]:
    """Measure the parts of an LSTM's gradient at the distances 1 to L - 1.

    Returns:
        parts: norm over sequences and units by distance and number of crossings, 0 to the distance.
        whole: norm of the whole gradient, by distance.
        mean: mean number of crossings, weighted by the norms of the parts.
        ratio: sum of the norms of the parts / norm of their sum: 1 if all parts point the same way.
        difference: between the sum of the parts and autograd's gradient, norm / norm, the largest of all distances.
    """
    parts, whole, differences = [], [], []
    for distance, (split, gradient) in enumerate(
        zip(split_gradients(layer, sequences, direction), whole_gradients(layer, sequences, direction), strict=True), 1
    ):
        parts.append(split.norm(dim=(1, 2))[: distance + 1].tolist())
        whole.append(float(gradient.norm()))
        differences.append(float((split.sum(dim=0) - gradient).norm()) / whole[-1])
    return {
        "parts": parts,
        "whole": whole,
        "mean": [sum(n * norm for n, norm in enumerate(norms)) / sum(norms) for norms in parts],
        "ratio": [sum(norms) / norm for norms, norm in zip(parts, whole, strict=True)],
        "difference": max(differences),
    }


def split_gradients(layer: nn.RNNBase, sequences: Tensor, direction: Tensor) -> Iterator[Tensor]:
    """Yield the gradient of ``direction * c_T`` with respect to c_(T-k) in parts, at the distances k = 1 to L - 1.

    Args:
        layer: `nn.LSTM` of one layer in one direction.
        sequences: ``(N, L, values)``.
        direction: ``(H,)`` in float64.

    Yields:
        ``(L, N, H)`` in float64; index n: paths with n crossings.
    """
    cell = by_equations(layer).double()
    with torch.no_grad():
        gates = cell.trace(sequences.double()).gates[0]  # (N, L, H) each
    u_i, u_f, u_g, u_o = cell.get_parameter("weight_hh_l0").detach().chunk(4)
    count, length, _ = gates["c"].shape
    to_c = torch.zeros(length, count, len(direction), dtype=torch.float64)  # C_T by number of crossings
    to_c[0] = direction
    to_h = torch.zeros_like(to_c)
    for t in range(length - 2, -1, -1):
        i, f, g, o, c = (gates[name][:, t + 1] for name in "ifgoc")
        old = gates["c"][:, t]
        through_c = to_c * i * (1 - i) * g @ u_i + to_c * f * (1 - f) * old @ u_f + to_c * i * (1 - g**2) @ u_g
        to_h = through_c + crossed(to_h * o * (1 - o) * c.tanh() @ u_o)
        to_c = f * to_c + crossed(gates["o"][:, t] * (1 - old.tanh() ** 2) * to_h)
        yield to_c


def crossed(parts: Tensor) -> Tensor:
    """Multiply a polynomial by y: what had n crossings has n + 1. The last coefficient must be 0."""
    return torch.cat([torch.zeros_like(parts[:1]), parts[:-1]])


def whole_gradients(layer: nn.RNNBase, sequences: Tensor, direction: Tensor) -> list[Tensor]:
    """Return the gradient of ``direction * c_T`` with respect to c_(T-k), ``(N, H)`` each, by autograd."""
    cell = by_equations(layer).double()
    weights = cell.weights()
    zeros = torch.zeros(len(sequences), len(direction), dtype=torch.float64)
    state: Gates = {"h": zeros, "c": zeros}
    cells = []
    for row in sequences.double().unbind(dim=1):
        state = cell.step(nn.functional.linear(row, weights["weight_ih"], weights["bias_ih"]), state, weights)
        cells.append(state["c"])
    return list(torch.autograd.grad((cells[-1] * direction).sum(), cells[-2::-1]))


def crossing_probability(bias: float) -> float:
    """Return the rule of thumb's probability of a crossing per step, with this bias of the forget gates."""
    return ACROSS / (1 / (1 + math.exp(-bias)) + ACROSS)


def coin(bias: float, tosses: int) -> list[float]:
    """Return the rule of thumb's shares of 0, 1, 2, ... crossings in a number of steps."""
    p = crossing_probability(bias)
    return [math.comb(tosses, n) * p**n * (1 - p) ** (tosses - n) for n in range(tosses + 1)]


def _share(one: dict[str, Any], distance: int, crossings: int = 0) -> float:
    norms = one["parts"][distance - 1]
    return float(norms[crossings] / sum(norms))


def summarise(options: Options, networks: dict[str, list[dict[str, Any]]]) -> Result:
    """Put the measurements of all seeds into a text, numbers and figures."""
    last = options.length - 1
    half = (last + 1) // 2
    rows, by_distance = [], []
    distances = sorted({max(1, round(last * part)) for part in (0, 0.1, 0.33, 0.5, 0.75, 1)})
    for name, ones in networks.items():
        rule = "" if name == TRAINED else f"{last * crossing_probability(float(name)):.1f}"
        carriers = [max(range(last + 1), key=one["parts"][-1].__getitem__) for one in ones]
        rows.append([
            name, spread(carriers, "g"), spread([one["mean"][-1] for one in ones], ".1f"),
            rule, spread([_share(one, last) for one in ones], ".2g"),
            spread([one["ratio"][-1] for one in ones], ".1f"),
        ])  # fmt: skip
        by_distance.append([name, *(f"{statistics.median(one['mean'][k - 1] for one in ones):.2f}" for k in distances)])
    differences = [max(networks[name][n]["difference"] for name in NAMES) for n in range(options.seeds)]
    trained = networks[TRAINED]
    number = f"{options.seeds} seeds: median (lowest to highest)" if options.seeds > 1 else "1 seed"
    lines = [
        f"{number}; {options.hidden_size} units, PyTorch's other initial weights",
        f"sum of the parts against autograd, largest relative difference: {max(differences):.0e}",
        f"trained to recall the cue: solved by {sum(one['solved'] for one in trained)} of {options.seeds}, updates "
        + spread([one["updates"] for one in trained], "g"),
        "",
        f"gradient over {last} steps: number of crossings that carries most, mean number and the rule of thumb's,",
        "share of the path without crossing, and sum of the parts' norms / norm of the whole gradient",
        *table(["forget bias", "most", "mean", "rule", "without crossing", "sum / whole"], rows),
        "",
        "mean number of crossings by distance (medians)",
        *table(["forget bias", *map(str, distances)], by_distance),
    ]
    measures = [
        Measure("largest relative difference between the sum of all parts and autograd's gradient",
                differences, ".0e"),
        *(Measure(f"mean number of crossings over {last} steps, forget bias {bias:g}",
                  [one["mean"][-1] for one in networks[f"{bias:g}"]], ".1f") for bias in PATH_BIASES),
        *(Measure(f"share of the path without crossing over {k} steps, forget bias {name}",
                  [_share(one, k) for one in networks[name]], ".1%")
          for name in (f"{OPEN:g}", TRAINED) for k in sorted({half, last})),
    ]  # fmt: skip
    numbers = {"networks": networks, "rule": {f"{bias:g}": coin(bias, last) for bias in PATH_BIASES}}
    return Result(lines, numbers, _draw_norms(networks), {"shares": _draw_shares(networks, last)}, measures)


def _draw_norms(networks: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw norms by distance: of the whole gradient, and of the paths with some numbers of crossings."""
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    axes = figure.subplots(1, len(NAMES), sharey=True)
    for axis, (name, ones) in zip(axes, networks.items(), strict=True):
        distances = range(1, len(ones[0]["whole"]) + 1)
        draw_band(axis, distances, [one["whole"] for one in ones], ("0.2", "-"), linewidth=2, label="whole gradient")
        for n, style in zip(DRAWN, CURVES, strict=True):
            label = f"{n} crossing{'s' if n > 1 else ''}" if n else "without crossing"
            first = max(n, 1)  # distance at which there are n crossings
            norms = [[parts[n] for parts in one["parts"][first - 1 :]] for one in ones]
            if first <= len(distances):
                draw_band(axis, distances[first - 1 :], norms, style, linewidth=2, label=label)
        axis.set(title=f"forget bias {name}", yscale="log", xlabel="distance to the earlier cell state")
        axis.set_ylabel("gradient norm")
        axis.tick_params(labelleft=True)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(bottom=min(one["whole"][-1] for ones in networks.values() for one in ones) / 100)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _draw_shares(networks: dict[str, list[dict[str, Any]]], last: int) -> Figure:
    """Draw the share of each number of crossings over the whole distance, and the rule of thumb."""
    figure = Figure(figsize=(14, 3.8), layout="constrained")
    shown = range(min(last, 14) + 1)
    axes = figure.subplots(1, len(NAMES), sharey=True)
    for axis, (name, ones) in zip(axes, networks.items(), strict=True):
        draw_band(
            axis,
            shown,
            [[_share(one, last, n) for n in shown] for one in ones],
            CURVES[0],
            linewidth=2,
            label="measured",
        )
        if name != TRAINED:
            colour, style = CURVES[1]
            axis.plot(shown, coin(float(name), last)[: len(shown)], style, color=colour, label="rule of thumb")
        finish(axis, title=f"forget bias {name}", xlabel=f"crossings in {last} steps")
        axis.set_ylabel("share of the parts' norms")
        axis.tick_params(labelleft=True)
    return figure
