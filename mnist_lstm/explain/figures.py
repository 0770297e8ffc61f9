"""Figures of `mnist-lstm explain`: predictions after each row, gates, gradients and occlusion.

Probabilities and gates are drawn in cividis, signed values in blue and orange, for readers with any colour vision.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from mnist_lstm.data.format import CLASS_NAMES, MEAN, PAPER, STD
from mnist_lstm.explain.explanation import SEGMENTS, Explanation
from mnist_lstm.explain.options import ENDINGS
from mnist_lstm.explain.units import Units, agreement, shuffled
from mnist_lstm.network.log_odds import log_odds
from mnist_lstm.plots.style import BLUE, CURVES, DIVERGING, ORANGE

INK = (1 - MEAN) / STD  # grey level of full ink after `normalise`
SIGMOIDS = {"i", "f", "o", "r", "z"}  # gates, which are between 0 and 1; all other values may be negative
FULL_NAMES = {
    "i": "input gate i",
    "f": "forget gate f",
    "g": "candidate g",
    "o": "output gate o",
    "c": "cell state c",
    "r": "reset gate r",
    "z": "update gate z",
    "n": "candidate n",
    "h": "hidden state h",
}


def predictions_sheet(explanations: Sequence[Explanation], captions: Sequence[str], columns: int = 5) -> Figure:
    """Draw, beside each of up to about twenty digits, the class probabilities after each of its rows."""
    columns = min(columns, len(explanations))
    lines = -(-len(explanations) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.8, 2.3 * lines + 0.7), layout="constrained")
    segment = explanations[0].segment
    ending = ENDINGS[explanations[0].ending]
    figure.suptitle(f"class probabilities after each {segment},\nif {ending}", fontsize=10 if columns == 1 else 12)
    narrow = 0.5
    axes = figure.subplots(lines, 2 * columns, squeeze=False, sharey=True, width_ratios=[1, narrow] * columns)
    for axis in axes.flat[2 * len(explanations) :]:
        axis.set_axis_off()
    for index, (explanation, caption) in enumerate(zip(explanations, captions, strict=True)):
        picture, classes = axes.flat[2 * index : 2 * index + 2]
        _draw_image(picture, explanation.picture, _plain(caption), 8)
        probabilities = explanation.prefix_probabilities.numpy()
        extent = (-0.5, len(CLASS_NAMES) - 0.5, SEGMENTS + 0.5, 0.5)
        shown = classes.imshow(probabilities, cmap="cividis", vmin=0, vmax=1, aspect="auto", extent=extent)
        for axis in (picture, classes):
            axis.axhline(explanation.settles_at - 0.5, color=ORANGE, linewidth=1.5)
        classes.set_title(f"{explanation.prediction} from {segment} {explanation.settles_at}", fontsize=8)
        classes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, fontsize=7)
    figure.colorbar(shown, ax=axes, label="probability", fraction=0.02)
    return figure


def gates_sheet(explanation: Explanation, chosen: Sequence[Units], title: str) -> Figure:
    """Draw, beside the digit, the gates and states of chosen units of one or more layers at every step.

    The last panel is a control: hidden states whose steps are shuffled, in which no diagonal is left.
    """
    names = [name for name in FULL_NAMES if name in explanation.gates[0]]
    figure = Figure(figsize=(2.0 * len(names) + 5.2, 2.6 * len(chosen) + 0.8), layout="constrained")
    figure.suptitle(_plain(title))
    axes = figure.subplots(
        len(chosen), 2 + len(names), squeeze=False, sharey=True, width_ratios=[1.3] + [1.0] * (len(names) + 1)
    )
    for line, (index, layer, direction, units) in zip(axes, chosen, strict=True):
        gates = explanation.gates[index]
        _draw_image(line[0], explanation.image, "input", 10, len(gates["h"]))
        line[0].set_ylabel(f"layer {layer}, {direction}\nstep")
        for axis, name in zip(line[1:-1], names, strict=True):
            _draw_units(axis, gates[name][:, units], units, FULL_NAMES[name], name in SIGMOIDS)
        states = gates["h"][:, units]
        _draw_units(line[-1], shuffled(states), units, "h, steps shuffled", False)
        if len(units) > 1:
            for axis, values in ((line[-2], states), (line[-1], shuffled(states))):
                axis.set_title(f"{axis.get_title()}\nin order: {agreement(values):.2f}", fontsize=10)
    figure.supxlabel(
        "units, in the order of their largest |h| in other digits; in order: rank correlation with the order here",
        fontsize=10,
    )
    return figure


def _draw_units(axis: Axes, states: Tensor, units: Tensor, title: str, gate: bool) -> None:
    """Draw values ``(steps, units)`` as a heat map: gates from 0 to 1, all others on both sides of 0."""
    values = states.numpy()
    high = max(float(np.quantile(np.abs(values), 0.98)), 1e-9)  # a few units are much larger than the rest
    colours, low, high, extend = ("cividis", 0.0, 1.0, "neither") if gate else (DIVERGING, -high, high, "both")
    shown = axis.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    shown.set_extent((0, values.shape[1], len(values) + 0.5, 0.5))  # steps are counted from 1
    axis.figure.colorbar(shown, ax=axis, fraction=0.08, extend=extend)
    axis.set_title(title, fontsize=10)
    if len(units) <= SEGMENTS:
        axis.set_xticks(np.arange(len(units)) + 0.5, units.tolist(), fontsize=6, rotation=90)
    else:
        axis.set_xticks([])


def rows_sheet(explanation: Explanation, title: str) -> Figure:
    """Draw, row beside row, the input, the gradient of the label's log-odds, its norm, and the effect of occlusion."""
    segment = explanation.segment
    figure = Figure(figsize=(13, 4.4), layout="constrained")
    figure.suptitle(_plain(title))
    picture, pixels, norms, occlusion = figure.subplots(1, 4, sharey=True, width_ratios=[1, 1.17, 1.1, 1.3])
    _draw_image(picture, explanation.image, "input in the order of reading", 10)
    picture.set_ylabel(segment)
    gradient = explanation.gradient.numpy()
    limit = max(float(np.abs(gradient).max()), 1e-300)
    extent = (0.5, gradient.shape[1] + 0.5, SEGMENTS + 0.5, 0.5)
    shown = pixels.imshow(gradient, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", extent=extent)
    figure.colorbar(shown, ax=pixels, fraction=0.045)
    pixels.set_xticks([])
    pixels.set_title(f"gradient of the log-odds of {explanation.label},\nby pixel", fontsize=10)
    _draw_norms(norms, explanation)
    _draw_occlusion(occlusion, explanation)
    return figure


def _draw_norms(axis: Axes, explanation: Explanation) -> None:
    rows = np.arange(1, SEGMENTS + 1)
    for (name, values), (colour, style) in zip(explanation.gradient_norms.items(), CURVES * 2, strict=False):
        maximum = max(float(values.max()), 1e-300)
        # Matplotlib hides labels that begin with an underscore
        label = f" {_plain(name[-40:])} (max {maximum:.1e})"
        width = 2.5 if name == "this network" else 1.5
        axis.plot(values.numpy() / maximum, rows, style, color=colour, linewidth=width, label=label)
    axis.set_xscale("log")
    axis.set_xlim(left=min(0.1, axis.get_xlim()[0]))  # powers of ten alone are labelled
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_title(f"norm of that gradient by {explanation.segment},\nrelative to its maximum", fontsize=10)
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    axis.grid(alpha=0.3)


def _draw_occlusion(axis: Axes, explanation: Explanation) -> None:
    """Draw bars from the log-odds of the prediction to those with a block of rows occluded, at the block's middle."""
    prediction, block, flips = explanation.prediction, explanation.block, explanation.flips
    whole = explanation.log_odds
    occluded = log_odds(explanation.occluded_logits, prediction).numpy()
    first = np.arange(1, len(occluded) + 1)
    middle = first + (block - 1) / 2
    colours = [ORANGE if row in flips else BLUE for row in first.tolist()]
    axis.barh(middle, occluded - whole, left=whole, height=0.7, color=colours)
    axis.axvline(whole, color="black", linewidth=1)
    axis.axvline(0, color="grey", linewidth=1, linestyle=":")  # p = 1/2
    for row, digit in flips.items():
        axis.annotate(
            str(digit),
            (occluded[row - 1], middle[row - 1]),
            (-8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.margins(x=0.12)
    axis.grid(alpha=0.3)
    axis.set_xlabel("log-odds; line: nothing occluded")
    where = f"{block} {explanation.segment}s around here" if block > 1 else f"this {explanation.segment}"
    axis.set_title(f"log-odds of {prediction} with {where}\noccluded; orange: predicts this digit", fontsize=10)


def _plain(text: str) -> str:
    """Escape dollar signs, between which Matplotlib would expect mathematics."""
    return text.replace("$", r"\$")


def _draw_image(axis: Axes, image: Tensor, title: str, fontsize: int, steps: int = SEGMENTS) -> None:
    """Draw an image over y from 1 to ``steps``, so that its rows lie beside the steps that read them."""
    extent = (0.5, image.shape[1] + 0.5, steps + 0.5, 0.5)
    axis.imshow(image.numpy(), cmap="gray_r", vmin=PAPER, vmax=INK, aspect="auto", extent=extent)
    axis.set_xticks([])
    ticks = np.linspace(1, steps, 4).round().astype(int)
    axis.set_yticks(ticks, [str(tick) for tick in ticks], fontsize=8)
    axis.set_title(title, fontsize=fontsize)
