"""Why gradients vanish or explode on their way back through the steps: initial weights, open gates, and paths.

Squashed again and again. The sigmoid has a slope of at most 1/4. Applied k times, its slope is a product of k slopes,
at most 1/4 to the power k: the curve becomes flat, and every input gives nearly the same value. tanh has a slope of up
to 1, at 0, one reason for its use inside recurrent cells.

Through the steps. The loss L depends on the state h_t of an RNN through all later states, so that

    dL/dh_t = dL/dh_T J_T ... J_(t+2) J_(t+1),     J_k = diag(tanh'(a_k)) U,     a_k = W x_k + U h_(k-1) + b

a product of T - t matrices: in general it shrinks or grows exponentially with the distance (Hochreiter & Schmidhuber
1997; Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks").

The initial weights decide how fast. PyTorch draws U from -1/sqrt(H) to 1/sqrt(H), for H units: a variance of 1/(3H), so
that the spectral radius, the largest absolute eigenvalue, is about 1/sqrt(3) = 0.58 at any width. That to the power 99
is 4e-24: the gradient is gone. The eigenvalues of an orthogonal U, the default of this project, have the absolute value
1; only the slopes of tanh shrink the gradient. (An LSTM's forget bias is then 1, this project's default as well.) Gates
multiply too: half open, they halve; with a bias of 5 on an LSTM's forget gates or a GRU's update gates, they keep
sigmoid(5) = 0.993 per step. What keeps the gradient is the open gate, in a GRU as in an LSTM, not the cell as such.
It has a price in a GRU, where the same gate lets the input in: 1 - z = 0.007 of it, so that the gradient starts lower.

Through the cell state. In an LSTM, c_t = f_t * c_(t-1) + i_t * g_t, and the gates depend on h_(t-1). The gradient from
c_T back to c_t is a sum over all paths through the network. One path goes from cell state to cell state only; its
gradient is the product of the forget gates, f_(t+1) * ... * f_T, element by element, without weights or slopes. All
other paths lead through a hidden state. The first path is often called a highway. It does not vanish while the gates
are open, but it is not the main road: over 27 steps the other paths together carry more, with half-open gates and with
open ones. The highway says what does not vanish, not what dominates.

After training. Training may close the way again. After 80 updates with Adam at 0.01, the gradient at the first step
over that at the last has shrunk by a factor of more than 1,000 in an LSTM that started with open gates, most of it
within the last ten steps, and the loss is still at chance level. A gradient that arrives is not yet a network that
learns.

Exploding. With large weights the product grows instead: exponentially in an RNN, and far less in a GRU or an LSTM.
Clipping scales down a gradient whose norm exceeds a limit and keeps its direction (Pascanu et al. 2013). It limits the
length of a step, and so does a smaller learning rate: compare the two at the best rate of each. Here neither is better
by more than the seeds differ; what clipping does is let larger rates work, while the smallest one becomes too slow.

Measured is the norm of the gradient of the loss with respect to each step's input, by distance from the end. The task
is to recall at the last step one of four cues seen at the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, gradients, spread, table
from mnist_lstm.lessons.memory import CHANCE_LOSS, draw_chance_level
from mnist_lstm.lessons.options import Count, MemoryOptions, Rate, Size
from mnist_lstm.plots.style import CURVES, draw_band, finish

CELLS = ("RNN", "GRU", "LSTM")
Losses = dict[str, dict[str, list[float]]]
"""Final losses over seeds by name and learning rate."""

TRAINED = ("RNN, orthogonal", "LSTM, orthogonal", "LSTM, open gates")  # trained before they are measured again

QUICK = {"seeds": 1}


@dataclass(frozen=True)
class Options(MemoryOptions):
    """Options of this lesson.

    Args:
        length: Steps of a sequence.
        updates: Updates between the two measurements.
        clip_updates: Updates of each RNN that is trained with or without clipping.
        gain: Factor on the orthogonal recurrent weights of the cells with exploding gradients.
        seeds: Number of seeds; results are the median and the range over them.
    """

    length: Size = 100
    updates: Count = 80
    learning_rate: Rate = 0.01
    clip_updates: Count = 300
    gain: Rate = 3.0
    seeds: Count = 5


def run(options: Options) -> Result:
    """Measure gradients by distance, initial weights, path and cell."""
    return summarise(options, [measure(options, seed) for seed in track(range(options.seeds), "measuring gradients")])


def measure(options: Options, seed: int) -> dict[str, Any]:
    """Return all measurements of one seed."""
    size, length = options.hidden_size, options.length
    return {
        "starts": {
            name: gradients.measure_start(start, seed, length, options.updates if name in TRAINED else 0, options)
            for name, start in gradients.STARTS.items()
        },
        "paths": {f"{bias:g}": gradients.paths(bias, seed, size) for bias in gradients.PATH_BIASES},
        "amplified": {cell: gradients.amplified(cell.lower(), options.gain, seed, length, size) for cell in CELLS},
        "clipping": {
            name: {
                f"{rate:g}": gradients.train_clipped(rate, limit, options.clip_updates, seed, size)
                for rate in gradients.RATES
            }
            for name, limit in gradients.CLIPPING.items()
        },
    }


def summarise(options: Options, seeds: list[dict[str, Any]]) -> Result:
    """Put the measurements of all seeds into a text, numbers and figures."""
    starts = {name: [seed["starts"][name] for seed in seeds] for name in gradients.STARTS}
    paths = {bias: [seed["paths"][bias] for seed in seeds] for bias in seeds[0]["paths"]}
    amplified = {cell: [seed["amplified"][cell] for seed in seeds] for cell in CELLS}
    clipping = {
        name: {rate: [seed["clipping"][name][rate] for seed in seeds] for rate in rates}
        for name, rates in seeds[0]["clipping"].items()
    }
    numbers = {
        "maximum_slopes": _maximum_slopes(),
        "spectral_radius": {name: [one["radius"] for one in ones] for name, ones in starts.items()},
        "norms": {name: [one["before"] for one in ones] for name, ones in starts.items()},
        "before": {name: [_ratio(one["before"]) for one in ones] for name, ones in starts.items()},
        "after": {name: [_ratio(one["after"]) for one in starts[name]] for name in TRAINED},
        "loss": {name: [one["loss"] for one in starts[name]] for name in TRAINED},
        "paths": paths,
        "exploding": {cell: [_ratio(norms) for norms in ones] for cell, ones in amplified.items()},
        "clipping": clipping,
    }
    losses = {
        name: {rate: [one["loss"] for one in ones] for rate, ones in rates.items()} for name, rates in clipping.items()
    }
    more = {"paths": _draw_paths(paths), "exploding": _draw_exploding(amplified, losses, options)}
    return Result(_describe(options, numbers, losses), numbers, _draw_starts(starts, options), more, _measures(numbers))


def _describe(options: Options, numbers: dict[str, Any], losses: Losses) -> list[str]:
    before, after, loss, radius = (numbers[name] for name in ("before", "after", "loss", "spectral_radius"))
    path_rows = []
    for bias, ones in numbers["paths"].items():
        ends = {part: [one[part][-1] for one in ones] for part in ("cell", "others")}
        ratios = [others / cell for cell, others in zip(ends["cell"], ends["others"], strict=True)]
        path_rows.append([bias, *(spread(values, ".2g") for values in ends.values()), spread(ratios, ".0f")])
    slopes = [f"{name} {slope:.2g}" for name, slope in numbers["maximum_slopes"].items()]
    seeds = f"{options.seeds} seeds: median (lowest to highest)"
    return [
        f"{seeds if options.seeds > 1 else '1 seed'}; maximum slopes: {', '.join(slopes)}",
        "",
        f"gradient at the first of {options.length} steps / gradient at the last, before training",
        *table(
            ["initial weights", "spectral radius", "first / last"],
            [[name, spread(radius[name], ".2f"), spread(before[name], ".2g")] for name in before],
        ),
        "",
        f"the same after {options.updates} updates, with the loss (chance level {CHANCE_LOSS:.2f})",
        *table(
            ["initial weights", "first / last", "loss"],
            [[name, spread(after[name], ".2g"), spread(loss[name], ".2f")] for name in after],
        ),
        "",
        "gradient of an LSTM's last cell state with respect to the cell state 27 steps earlier",
        *table(["forget bias", "cell to cell", "other paths", "others / cell to cell"], path_rows),
        "",
        f"orthogonal recurrent weights times {options.gain:g}: gradient at the first step / gradient at the last",
        *table(["", "first / last"], [[cell, spread(ratios, ".2g")] for cell, ratios in numbers["exploding"].items()]),
        "",
        f"an RNN with recurrent weights of norm {gradients.CLIP_GAIN:g}, trained by SGD to recall after 5 steps:",
        f"loss after {options.clip_updates} updates (chance level {CHANCE_LOSS:.2f})",
        *table(
            ["learning rate", *losses],
            [[rate, *(spread(rates[rate], ".2f") for rates in losses.values())] for rate in losses["not clipped"]],
        ),
    ]


def _measures(numbers: dict[str, Any]) -> list[Measure]:
    return [
        *(Measure(f"first / last gradient, {name}", ratios, ".2g") for name, ratios in numbers["before"].items()),
        *(Measure(f"... after training, {name}", ratios, ".2g") for name, ratios in numbers["after"].items()),
        *(
            Measure(
                f"other paths / path from cell to cell, 27 steps, bias {bias}",
                [one["others"][-1] / one["cell"][-1] for one in ones],
                ".3g",
            )
            for bias, ones in numbers["paths"].items()
        ),
        *(
            Measure(f"first / last, large weights, {cell}", ratios, ".2g")
            for cell, ratios in numbers["exploding"].items()
        ),
    ]


def _ratio(norms: Sequence[float]) -> float:
    return norms[0] / norms[-1]


def _maximum_slopes() -> dict[str, float]:
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
    iterated = x
    for _ in range(5):
        iterated = iterated.sigmoid()
    curves = {"sigmoid": x.sigmoid(), "tanh": x.tanh(), "sigmoid applied 5 times": iterated}
    return {name: float(torch.autograd.grad(y.sum(), x)[0].abs().max()) for name, y in curves.items()}


def _draw_starts(starts: dict[str, list[dict[str, Any]]], options: Options) -> Figure:
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    distances = range(options.length)
    label = {"xlabel": "distance from the last step", "yscale": "log"}
    for axis, cell in zip(axes, CELLS, strict=False):
        own = [name for name in starts if name.startswith(f"{cell},")]
        for name, curve in zip(own, CURVES, strict=False):
            norms = [one["before"][::-1] for one in starts[name]]
            draw_band(axis, distances, norms, curve, linewidth=2, label=name.removeprefix(f"{cell}, "))
        finish(axis, title=f"{cell}, before training", **label)
    for name, curve in zip(TRAINED, CURVES, strict=False):
        draw_band(axes[3], distances, [one["after"][::-1] for one in starts[name]], curve, linewidth=2, label=name)
    finish(axes[3], title=f"after {options.updates} updates", **label)
    for axis in axes:
        axis.set(ylabel="gradient norm", ylim=(1e-25, 1))
        axis.tick_params(labelleft=True)
        axis.legend(loc="lower left")
    return figure


def _draw_paths(paths: dict[str, list[dict[str, list[float]]]]) -> Figure:
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    for axis, (bias, ones) in zip(figure.subplots(1, 3, sharey=True), paths.items(), strict=True):
        distances = range(1, len(ones[0]["cell"]) + 1)
        for part, label, curve in zip(("cell", "others"), ("cell to cell", "other paths"), CURVES, strict=False):
            draw_band(axis, distances, [one[part] for one in ones], curve, linewidth=2, label=label)
        labels = {"xlabel": "distance to the earlier cell state", "ylabel": "gradient norm of the last cell state"}
        finish(axis, title=f"LSTM, forget bias {bias}", yscale="log", **labels)
        axis.tick_params(labelleft=True)
        axis.legend(loc="lower left")
    return figure


def _draw_exploding(amplified: dict[str, list[list[float]]], losses: Losses, options: Options) -> Figure:
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    norms, clipped = figure.subplots(1, 2)
    for (cell, ones), curve in zip(amplified.items(), CURVES, strict=False):
        draw_band(norms, range(options.length), [one[::-1] for one in ones], curve, linewidth=2, label=cell)
    title = f"before training, orthogonal recurrent weights times {options.gain:g}"
    finish(norms, title=title, yscale="log", xlabel="distance from the last step", ylabel="gradient norm")
    for (name, rates), curve in zip(losses.items(), CURVES, strict=False):
        draw_band(
            clipped,
            [float(rate) for rate in rates],
            list(zip(*rates.values(), strict=True)),
            curve,
            linewidth=2,
            label=name,
        )
    draw_chance_level(clipped)
    title = f"an RNN after {options.clip_updates} updates"
    finish(clipped, title=title, xscale="log", yscale="log", xlabel="learning rate of SGD", ylabel="loss")
    clipped.set_xticks([float(rate) for rate in losses["not clipped"]], [*losses["not clipped"]])
    clipped.minorticks_off()
    clipped.set_ylim(bottom=clipped.get_ylim()[0] / 3)  # room for the legend
    clipped.legend(loc="lower left")
    return figure
