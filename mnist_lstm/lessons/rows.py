"""What each row remembers: the gradient of the prediction after each row with respect to every row read so far.

A network of one direction can answer after any row: the head reads h_t, the hidden state after row t, as it reads the
last one. Let k be the class that the network answers in the end, z_t the logits after row t, and p their softmax. The
prediction is measured by the log-odds of k, what p_k has on all other classes together,

    l_t = log(p_k / (1 - p_k)) = z_tk - log(sum over j other than k of exp(z_tj))

and the matrix of this lesson is

    M_ts = mean over digits of ||dl_t / dx_s||,     x_s = row s of the input, 28 pixels

It is exactly 0 for s > t: a row that has not been read yet changes nothing. Madsen 2019 ("Visualizing memorization in
RNNs", Distill, doi 10.23915/distill.00016) draws this norm for single texts, with a logit in place of l, and calls it
connectivity. (A logit alone says little: to add 1 to all ten changes no answer.) Here it is averaged over digits and
compared over seeds, for an RNN, a GRU and an LSTM with the same batches, before the first update and after the last.

Norms of different networks have different sizes, so each row of M is divided by its sum. What is left is how it is
distributed: the share of the last 8 rows, the furthest row at which the norm is still a half or a tenth of its largest
value, and the mean distance from the end in rows, weighted by the norm: 0 if all of it lies in the last row, 13.5 if it
is spread evenly over 28.

Initial weights are orthogonal, and yet an untrained RNN or GRU looks back 2 or 3 rows on average, an LSTM, whose forget
bias is 1, 6 or 7. Training moves the mean distance up in all three, and by as many updates least far in the RNN and
furthest in the LSTM, to about 13: nearly as if all rows had the same weight.

That is what the gradient says, and it says less than it seems to. A gradient is local: it answers how much the
prediction would change with a tiny change of a row. So each row is also blanked, and the change of l_28 measured. M's
last row is a poor guide to it. More than a fifth of the trained networks' gradient lies on rows that are blank in the
picture, where blanking changes exactly nothing: sensitive is not the same as used. What does follow the mean effect,
row by row, is the gradient times the change that is made, (paper - x_s) . dl_28/dx_s. For a single digit even that is
rough: over all rows and digits, its correlation with the effect is below 0.75 in the trained networks. On the order of
the three cells both measures agree: by the effects, too, the RNN looks back least far and the LSTM furthest.
"""

import statistics
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.console import track
from mnist_lstm.data.format import PAPER, SIZE
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import batches, load_train_and_val, train_on_batches
from mnist_lstm.lessons.options import Count, DigitOptions
from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, draw_band

CELLS = ("RNN", "GRU", "LSTM")
TIMES = ("untrained", "trained")
READ = 200  # validation digits whose gradients are averaged
VALIDATED = 1000  # validation digits for the accuracy
LAST = 8  # rows
DISTANCES = torch.arange(SIZE - 1, -1, -1, dtype=torch.float64)  # of each row from the last one
KINDS = {"norms": "gradient norm", "estimates": "gradient times change", "effects": "effect of blanking"}

Numbers = dict[str, dict[str, list[float]]]
"""Values over seeds by network and by what they measure."""


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        seeds: Number of networks of each kind.
    """

    updates: Count = 200
    seeds: Count = 5


QUICK = {"seeds": 1, "updates": 120}


class Influence(NamedTuple):
    """How much the rows of N digits matter to the log-odds of the answer.

    Attributes:
        matrix: ``(28, 28)``, by row of the prediction and of the input: the mean norm of the gradient.
        norms: ``(N, 28)``, of the gradient of the last prediction with respect to each row.
        estimates: ``(N, 28)``, change of the last log-odds if a row is blanked, to first order by the gradient.
        effects: ``(N, 28)``, that change as measured.
        blank: ``(N, 28)``, whether the row is blank anyway.
    """

    matrix: Tensor
    norms: Tensor
    estimates: Tensor
    effects: Tensor
    blank: Tensor


def run(options: Options) -> Result:
    """Measure influences of rows in several networks, before and after training."""
    train, val, data = load_train_and_val(options)
    val = val[0][:VALIDATED], val[1][:VALIDATED]
    images = val[0][:READ]
    seen: dict[str, list[Influence]] = {f"{cell}, {time}": [] for cell in CELLS for time in TIMES}
    accuracy: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for seed in track(range(options.seeds), "networks"):
        models = {}
        for cell in CELLS:
            torch.manual_seed(seed)
            models[cell] = RowLSTM(cell=cell.lower(), hidden_size=options.hidden_size, bidirectional=False)
            seen[f"{cell}, untrained"].append(influence(models[cell], images))
        drawn = batches(len(train[1]), options.updates, options.batch_size, seed)
        training = train_on_batches(models, train, val, drawn, options.learning_rate, checks=1)
        for cell, model in models.items():
            seen[f"{cell}, trained"].append(influence(model, images))
            accuracy[cell].append(training.final[cell])
    return _result(data, options, seen, accuracy)


def influence(model: RowLSTM, images: Tensor) -> Influence:
    """Measure the influence of each row of images ``(N, 28, 28)`` on a network of one direction."""
    images = images.clone().requires_grad_()
    logits = model.head(model.rnn(images)[0])  # (N, 28, 10): the prediction after each row
    classes = logits[:, -1].argmax(dim=1)
    odds = log_odds(logits, classes.unsqueeze(1))  # (N, 28)
    matrix = images.new_zeros(SIZE, SIZE)
    gradient = torch.zeros_like(images)
    for row in range(SIZE):
        # of a sum over digits, which do not influence each other: each digit's own gradient
        (gradient,) = torch.autograd.grad(odds[:, row].sum(), images, retain_graph=True)
        matrix[row] = gradient.norm(dim=2).mean(dim=0)
    with torch.no_grad():
        blanked = images.new_full(images.shape, PAPER)
        before = log_odds(model(images), classes)  # read as below: then blanking a blank row changes exactly nothing
        effects = torch.empty_like(odds)
        for row in range(SIZE):
            changed = images.clone()
            changed[:, row] = blanked[:, row]
            effects[:, row] = log_odds(model(changed), classes) - before
        estimates = (gradient * (blanked - images)).sum(dim=2)
        blank = (images == blanked).all(dim=2)
    return Influence(matrix, gradient.norm(dim=2), estimates, effects, blank)


def mean_distance(profile: Tensor) -> float:
    """Return the mean distance from the last row, 0 to 27, weighted by a profile ``(28,)`` of values of 0 or more."""
    return float(_shares(profile) @ DISTANCES)


def reach(profile: Tensor, share: float) -> int:
    """Return the largest distance from the last row, 0 to 27, at which a profile is ``share`` of its maximum."""
    return int(DISTANCES[profile >= share * profile.max()].max())


def correlation(first: Tensor, second: Tensor) -> float:
    """Return the correlation of the elements of two tensors, -1 to 1; 0 if one of them is constant."""
    pair = torch.stack([first.flatten(), second.flatten()]).double()
    pair = pair - pair.mean(dim=1, keepdim=True)
    size = float(pair.norm(dim=1).prod())
    return float(pair[0] @ pair[1]) / size if size else 0.0


def summarise(seen: Influence) -> dict[str, float]:
    """Return the figures of one network."""
    norms, effects, estimates = seen.norms.mean(dim=0), seen.effects.abs().mean(dim=0), seen.estimates.abs().mean(dim=0)
    return {
        "above_diagonal": float(seen.matrix.triu(1).abs().max()),
        "last_rows": float(_shares(norms)[-LAST:].sum()),
        "half_at": reach(norms, 0.5),
        "tenth_at": reach(norms, 0.1),
        "distance": mean_distance(norms),
        "effect_distance": mean_distance(effects),
        "on_blank_rows": float(_shares((seen.norms * seen.blank).sum(dim=0), seen.norms.sum()).sum()),
        "effect_on_blank_rows": float((seen.effects * seen.blank).abs().max()),
        "norm_and_effect": correlation(norms, effects),
        "estimate_and_effect": correlation(estimates, effects),
        "single_estimate_and_effect": correlation(seen.estimates, seen.effects),
    }


def _shares(profile: Tensor, total: Tensor | None = None) -> Tensor:
    """Divide values by their sum, or by a total, in float64; all 0 if that is 0."""
    profile = profile.double()
    return profile / (profile.sum() if total is None else total.double()).clamp(min=1e-300)


def _result(
    data: str, options: Options, seen: dict[str, list[Influence]], accuracy: dict[str, list[float]]
) -> Result:  # fmt: skip
    runs = {name: [summarise(network) for network in networks] for name, networks in seen.items()}
    numbers: Numbers = {name: {key: [run[key] for run in each] for key in each[0]} for name, each in runs.items()}
    shown = {f"last {LAST} rows": "last_rows", "half at": "half_at", "a tenth at": "tenth_at", "distance": "distance"}
    styles = {"last_rows": ".0%", "half_at": ".0f", "tenth_at": ".0f", "distance": ".1f", "effect_distance": ".1f"}
    compared = {"distance": "effect_distance", "norm": "norm_and_effect", "times change": "estimate_and_effect"}
    compared |= {"each digit": "single_estimate_and_effect"}

    def rows(columns: dict[str, str]) -> list[list[str]]:
        return [
            [name, *(spread(values[key], styles.get(key, ".2f")) for key in columns.values())]
            for name, values in numbers.items()
        ]

    blank = spread([value for cell in CELLS for value in numbers[f"{cell}, trained"]["on_blank_rows"]], ".0%")
    blank_rows = float(seen["RNN, trained"][0].blank.double().mean())
    above = max(max(values["above_diagonal"]) for values in numbers.values())
    lines = [
        data,
        f"{options.seeds} networks of each kind with {options.hidden_size} units, {options.updates} updates",
        "accuracy: " + "; ".join(f"{cell} {spread(values, '.1%')}" for cell, values in accuracy.items()),
        f"{len(seen['RNN, trained'][0].norms)} validation digits; distances in rows from the last one",
        f"largest gradient with respect to a row that has not been read yet: {above:g}",
        "",
        "gradient of the last prediction: its share in the last rows, the furthest row at which it is half or a tenth",
        "of its maximum, and its mean distance (13.5 if it were the same at all rows):",
        *table(["", *shown], rows(shown)),
        "",
        "effect of blanking a row on the last prediction: mean distance; correlation with it, row by row, of the",
        "gradient's norm and of the gradient times the change of the row; and the latter for each digit by itself:",
        *table(["", *compared], rows(compared)),
        "",
        f"blank anyway: {blank_rows:.0%} of all rows; the trained networks' gradient lies on them to {blank}",
    ]
    measures = [
        Measure(f"mean distance of the last prediction's gradient, {name} (rows)", numbers[name]["distance"], ".1f")
        for name in ("RNN, untrained", "LSTM, untrained", *(f"{cell}, trained" for cell in CELLS))
    ]
    trained = numbers["LSTM, trained"]
    measures += [
        Measure("share of the gradient on blank rows, LSTM, trained", trained["on_blank_rows"], ".0%"),
        Measure("correlation of gradient norm and effect by row, LSTM, trained", trained["norm_and_effect"], ".2f"),
        Measure("the same of gradient times change, LSTM, trained", trained["estimate_and_effect"], ".2f"),
    ]
    matrices = {
        name: torch.stack([each.matrix for each in networks]).quantile(0.5, dim=0).tolist()
        for name, networks in seen.items()
    }
    more: dict[str, Any] = {
        "data": data,
        "accuracy": accuracy,
        "blank_rows": blank_rows,
        "networks": numbers,
        "median_matrices": matrices,
    }
    return Result(lines, more, _draw(seen), {"effects": _draw_effects(seen)}, measures)


def _draw(seen: dict[str, list[Influence]]) -> Figure:
    """Draw the matrices, each row divided by its sum, the median of the seeds."""
    figure = Figure(figsize=(10.5, 7), layout="constrained")
    axes = figure.subplots(len(TIMES), len(CELLS), sharex=True, sharey=True)
    picture = None
    for line, time in zip(axes, TIMES, strict=True):
        for axis, cell in zip(line, CELLS, strict=True):
            networks = seen[f"{cell}, {time}"]
            shares = torch.stack([torch.stack([_shares(row) for row in network.matrix]) for network in networks])
            values = shares.quantile(0.5, dim=0).numpy()
            edge = (0.5, SIZE + 0.5, SIZE + 0.5, 0.5)
            # what is 0 has no logarithm and stays white; what is below the scale has its darkest colour
            picture = axis.imshow(values, norm=LogNorm(1e-3, 1), cmap="viridis", extent=edge)
            distance = statistics.median(mean_distance(network.matrix[-1]) for network in networks)
            axis.set_title(f"{cell}, {time}: {distance:.1f} rows back", fontsize=11)
            axis.set(xticks=range(4, SIZE + 1, 4), yticks=range(4, SIZE + 1, 4))
    for axis in axes[-1]:
        axis.set_xlabel("row of the input")
    for axis in axes[:, 0]:
        axis.set_ylabel("row of the prediction")
    if picture is not None:
        figure.colorbar(picture, ax=axes, label="share of the gradient of the row's prediction", extend="min")
    return figure


def _draw_effects(seen: dict[str, list[Influence]]) -> Figure:
    """Draw by row what gradients and blanking say of the last prediction of the trained networks."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, len(CELLS), sharey=True)
    for axis, cell in zip(axes, CELLS, strict=True):
        for (kind, label), curve in zip(KINDS.items(), CURVES, strict=False):
            values = [_shares(getattr(each, kind).abs().mean(dim=0)).numpy() for each in seen[f"{cell}, trained"]]
            draw_band(axis, range(1, SIZE + 1), values, curve, label=label)
        axis.set(title=f"{cell}, trained", xlabel="row of the input", xticks=range(4, SIZE + 1, 4))
        axis.grid(alpha=0.3)
    axes[0].set(ylabel="share of the sum over rows", ylim=(0, None))
    axes[0].legend(loc="upper left")
    return figure
