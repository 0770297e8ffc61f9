"""What drives a unit: favourite digits of an LSTM's units, chosen on half of the pictures, checked on the other half.

Figures such as "this unit recognises loops" are made by a search: of all units, digits and rows, show those that fit
best. (Karpathy, Johnson & Fei-Fei 2015, "Visualizing and understanding recurrent networks", show units of LSTMs that
follow quotes, brackets and the length of a line.) A search finds something in any data. So it is done here also where
nothing was learnt or nothing is to be found: before training, with pixels in place of units, with shuffled labels.

The activation is h, the hidden state, the part of a unit that the head and the next row see. What drives a unit makes
h high. (With the signs of its weights turned it would be low.) For a class k, row t and unit u,

    s_ktu = (mean of h_tu over digits of class k - mean over all digits) / standard deviation over all digits

is its selectivity. Its favourite is the class and row where s is largest on one half of the validation digits; what
holds of it is s on the other half, at the same class and row. On the digits it was chosen on, s is biased: it is the
largest of 280 numbers, each with an error of about sqrt(10 / n) for n digits in ten classes. Kriegeskorte et al. 2009
("Circular analysis in systems neuroscience: the dangers of double dipping") warn of it.

With shuffled labels a unit has a favourite all the same. Chosen on 50 digits, the median unit's stands more than 1
standard deviation out, and 0.0 on other digits. Chosen on 2,500, it stands out by less than a quarter of one.

The true favourites hold, at about 1.5 standard deviations on both halves. They are real. But so are those of an
untrained network, at 1.1, and of the picture itself, read as 28 units of one column of pixels each, at 1.0: two thirds
or more of the selectivity is there with random weights. Digits differ, so whatever depends on their pixels does too.

Nor is a favourite a detector. Of the nine held-out digits that excite a unit most, as such figures show them, its
favourite class has more than 60 % on average, and less of as many digits as there are in the class. Units where that is
90 % or more are rare, fewer than one of ten. The extreme of a distribution says little about the rest of it.

Nor does a favourite say what a unit is for. Hold a unit at its mean of each row, whatever the digit, and see how far
the log-odds of the true class fall. They fall further for its favourite class than for others, about twice as far on
average. But in most units another class loses most, and selectivity is nearly uncorrelated with the mean loss over all
classes. (Morcos et al. 2018, "On the importance of single directions for generalization", report of networks for images
that class selectivity predicts importance poorly.) And "a loop" is a further step away. A favourite 6 may be as well
explained by a stroke that begins high up, which a 2 sometimes has too. To claim a loop takes pictures with and without
one that are the same in everything else.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_lstm.console import track
from mnist_lstm.data.format import SIZE
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import Split, batches, load_train_and_val, train_on_batches
from mnist_lstm.lessons.options import Count, DigitOptions
from mnist_lstm.lessons.selectivity import (
    DETECTS,
    HOLDS,
    TOP,
    Portrait,
    activate,
    at,
    choose,
    compare,
    describe,
    hold_each,
    portray,
    selectivity,
)
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import BLUE, CURVES, ORANGE, draw_band, finish

NUMBERS = (50, 100, 250, 500, 1000)  # of digits that favourites are chosen on, beside the whole half
SOURCES = ("trained", "untrained", "pixels", "shuffled labels")
ABLATED = 500  # held-out digits that are read with a unit held
PORTRAITS = 5  # units that are drawn


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        seeds: Number of networks.
    """

    seeds: Count = 5


QUICK = {"seeds": 1}


class Measured(NamedTuple):
    """What is measured with one seed.

    Attributes:
        chosen: by source, the median unit's selectivity on the digits that favourites were chosen on, by their number.
        held_out: the same on the other half of the digits.
        units: by source, figures of the favourites that were chosen on a whole half.
        still: figures of the trained network with a unit held still.
        portraits: of some units of the trained network.
    """

    chosen: dict[str, list[float]]
    held_out: dict[str, list[float]]
    units: dict[str, dict[str, float]]
    still: dict[str, float]
    portraits: list[Portrait]


def run(options: Options) -> Result:
    """Choose favourites on half of the validation digits, in networks and in the controls; measure on the other."""
    train, val, data = load_train_and_val(options)
    half = len(val[1]) // 2
    numbers = [*(number for number in NUMBERS if number < half), half]
    seeds = [measure(options, seed, train, val, numbers) for seed in track(range(options.seeds), "networks")]
    chosen = {source: [each.chosen[source] for each in seeds] for source in SOURCES}
    held_out = {source: [each.held_out[source] for each in seeds] for source in SOURCES}
    units = {source: _by_name([each.units[source] for each in seeds]) for source in SOURCES}
    still = _by_name([each.still for each in seeds])
    plain = {"data": data, "digits": numbers, "chosen": chosen, "held_out": held_out, "units": units, "still": still}
    lines, measures = _report(data, options, plain)
    return Result(
        lines, plain, _draw_portraits(seeds[0].portraits), {"bias": _draw_bias(numbers, chosen, held_out)}, measures
    )


def measure(options: Options, seed: int, train: Split, val: Split, numbers: list[int]) -> Measured:
    """Train a network, choose favourites on the first ``numbers`` validation digits, check them on the second half."""
    images, labels = val
    half = numbers[-1]
    torch.manual_seed(seed)
    model = RowLSTM(hidden_size=options.hidden_size, bidirectional=False)
    activations = {"untrained": activate(model, images), "pixels": images}
    drawn = batches(len(train[1]), options.updates, options.batch_size, seed)
    accuracy = train_on_batches({"LSTM": model}, train, val, drawn, options.learning_rate, checks=1).final["LSTM"]
    activations |= dict.fromkeys(("trained", "shuffled labels"), activate(model, images))
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    chosen, held_out, units = {}, {}, {}
    for source in SOURCES:
        own, values = shuffled if source == "shuffled labels" else labels, activations[source]
        other = selectivity(values[half:], own[half:])
        favourites = [choose(selectivity(values[:number], own[:number])) for number in numbers]
        chosen[source] = [float(each.values.median()) for each in favourites]
        held_out[source] = [float(at(other, each).median()) for each in favourites]
        units[source] = describe(favourites[-1], other, values[half:], own[half:])
        if source == "trained":
            part = images[half:][:ABLATED], labels[half:][:ABLATED]
            losses = hold_each(model, part, values[:half].mean(dim=0))
            still = compare(losses, favourites[-1], at(other, favourites[-1])) | {"accuracy": accuracy}
            portraits = portray(favourites[-1], other, values[half:], images[half:], labels[half:], PORTRAITS)
    return Measured(chosen, held_out, units, still, portraits)


def _by_name(runs: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [run[name] for run in runs] for name in runs[0]}


def _report(data: str, options: Options, numbers: dict[str, Any]) -> tuple[list[str], list[Measure]]:
    """Return the text and the measures."""
    units, still, digits = numbers["units"], numbers["still"], numbers["digits"]
    columns = {
        "chosen": ("chosen", ".2f"),
        "held out": ("held_out", ".2f"),
        f"{HOLDS:g} or more": ("holds", ".0%"),
        f"best {TOP}": ("top", ".0%"),
        "as many": ("all_of_class", ".0%"),
        f"{DETECTS:.0%} or more": ("detectors", ".0%"),
    }
    rows = [[source, *(spread(units[source][key], style) for key, style in columns.values())] for source in SOURCES]

    def by_number(curves: dict[str, list[list[float]]], source: str) -> list[str]:
        return [f"{statistics.median(run[index] for run in curves[source]):.2f}" for index in range(len(digits))]

    sides = {"chosen": "as chosen", "held_out": "held out"}
    biases = [
        [f"{source}, {side}", *by_number(numbers[key], source)] for source in SOURCES for key, side in sides.items()
    ]
    lines = [
        data,
        f"{options.seeds} networks of {options.hidden_size} units, {options.updates} updates; accuracy "
        + spread(still["accuracy"], ".1%"),
        "",
        f"favourites chosen on {digits[-1]:,} digits: selectivity of the median unit there and on the held-out half",
        f"(standard deviations); units with {HOLDS:g} or more there; the favourite class's share of the {TOP} held-out",
        f"digits that excite a unit most, and of as many as it has; units where that is {DETECTS:.0%} or more",
        *table(["", *columns], rows),
        "",
        "selectivity of the median unit, by the number of digits that favourites were chosen on:",
        *table(["", *(f"{number:,}" for number in digits)], biases),
        "",
        "a unit held at its mean of each row: fall of the log-odds of the true class",
        f"  in digits of its favourite class {spread(still['own_class'], '.2f')}",
        f"  in digits of another class {spread(still['other_classes'], '.2f')}",
        f"  units whose favourite class is the one that loses most: {spread(still['loses_most'], '.0%')}",
        f"  correlation of selectivity and mean fall, over units: {spread(still['selectivity_and_loss'], '.2f')}",
    ]
    few = [run[0] for run in numbers["chosen"]["shuffled labels"]]
    few_held = [run[0] for run in numbers["held_out"]["shuffled labels"]]
    measures = [
        Measure(
            "held-out selectivity of the median unit, trained (standard deviations)",
            units["trained"]["held_out"],
            ".2f",
        ),
        Measure("the same, untrained", units["untrained"]["held_out"], ".2f"),
        Measure(f"shuffled labels, on the {digits[0]} digits that favourites were chosen on", few, ".2f"),
        Measure("shuffled labels, on held-out digits", few_held, "z.2f"),
        Measure(f"favourite class among the {TOP} digits that excite a unit most", units["trained"]["top"], ".0%"),
        Measure("favourite class among as many digits as it has", units["trained"]["all_of_class"], ".0%"),
        Measure("units whose favourite class loses most with the unit held still", still["loses_most"], ".0%"),
    ]
    return lines, measures


def _draw_portraits(portraits: Sequence[Portrait]) -> Figure:
    """Draw the activation of each unit over the rows, and the digits that excite it most with its row marked."""
    title = (
        "left: favourite class and row (line), selectivity, share of the class among as many held-out digits;\n"
        "right: the nine held-out digits that excite the unit most"
    )
    count = max(len(each.labels) for each in portraits)
    figure = Figure(figsize=(12, 1.9 * len(portraits)), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(portraits), 1 + count, squeeze=False, width_ratios=[4.5] + [1] * count)
    for line, portrait in zip(axes, portraits, strict=True):
        _draw_activation(line[0], portrait)
        for axis, image, label in zip(line[1:], portrait.images, portrait.labels, strict=False):
            axis.imshow(image.numpy(), cmap="gray_r")
            axis.axhline(portrait.row, color=ORANGE, linewidth=1.5)
            other = label != portrait.label
            axis.set_title(
                str(label), fontsize=11, color=ORANGE if other else "0.2", fontweight="bold" if other else None
            )
        for axis in line[1:]:
            axis.set_axis_off()
    axes[0, 0].legend(loc="lower left", bbox_to_anchor=(0, 1.16), ncols=2, fontsize=9, frameon=False)
    axes[-1, 0].set_xlabel("row")
    return figure


def _draw_bias(
    numbers: Sequence[int], chosen: Mapping[str, list[list[float]]], held_out: Mapping[str, list[list[float]]]
) -> Figure:
    """Draw the selectivity of the median unit, ``[seed][number]`` by source, on the digits of its choice and others."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, curves in ((left, chosen), (right, held_out)):
        for (source, tries), curve, marker in zip(curves.items(), CURVES, "D^so", strict=True):
            draw_band(axis, numbers, tries, curve, marker=marker, markersize=5, label=source)
        axis.set_xscale("log")
        axis.set_xticks(numbers, [f"{number:,}" for number in numbers])
        axis.minorticks_off()
        axis.axhline(0, color="0.5", linewidth=1)
    label = "digits that favourites were chosen on"
    finish(left, xlabel=label, ylabel="selectivity (standard deviations)", title="on the digits they were chosen on")
    right.set(xlabel=label, title="on other digits")
    right.grid(alpha=0.3)
    return figure


def _draw_activation(axis: Axes, portrait: Portrait) -> None:
    rows = range(1, SIZE + 1)
    levels = torch.tensor([0.1, 0.5, 0.9])
    curves = ((portrait.own, "its favourite class", ORANGE, "-"), (portrait.others, "all others", BLUE, "--"))
    for values, label, colour, style in curves:
        low, middle, high = values.quantile(levels, dim=0).tolist()
        axis.fill_between(rows, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(rows, middle, style, color=colour, label=label)
    axis.axvline(portrait.row + 1, color="0.3", linewidth=1)
    title = f"unit {portrait.unit + 1}: a {portrait.label} at row {portrait.row + 1}; {portrait.held_out:.1f} sd"
    axis.set_title(f"{title}, {portrait.share:.0%}", fontsize=10)
    axis.set(ylabel="h", xlim=(1, SIZE), ylim=(-1.05, 1.05), xticks=range(4, SIZE + 1, 4))
    axis.grid(alpha=0.3)
