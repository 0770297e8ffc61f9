"""Figures of `mnist-lstm explain`: predictions after each row, gates, gradients and occlusion.

Probabilities and gates are drawn in cividis, signed values in blue and orange, for readers with any colour vision.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.data.format import CLASS_NAMES, MEAN, PAPER, STD
from mnist_lstm.explain.explanation import SEGMENTS, Explanation
from mnist_lstm.plots.style import BLUE, CURVES, DIVERGING, ORANGE

INK = (1 - MEAN) / STD  # grey level of full ink after `normalise`
SIGMOIDS = {"i", "f", "o", "r", "z"}  # gates, which are between 0 and 1; all other values may be negative
FULL_NAMES = {  # of the values that are drawn; an LSTM's candidate g is visible in c
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "c": "cell state c",
    "h": "hidden state h",
    "r": "reset gate r",
    "z": "update gate z",
    "n": "candidate n",
}


def predictions_sheet(explanations: Sequence[Explanation], captions: Sequence[str], columns: int = 5) -> Figure:
    """Draw, beside each of up to about twenty digits, the class probabilities after each of its rows."""
    columns = min(columns, len(explanations))
    lines = -(-len(explanations) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.8, 2.3 * lines + 0.7), layout="constrained")
    segment = explanations[0].segment
    figure.suptitle(f"class probabilities after each {segment}")
    narrow = 0.5
    axes = figure.subplots(lines, 2 * columns, squeeze=False, width_ratios=[1, narrow] * columns)
    for axis in axes.flat[2 * len(explanations) :]:
        axis.set_axis_off()
    for index, (explanation, caption) in enumerate(zip(explanations, captions, strict=True)):
        picture, classes = axes.flat[2 * index : 2 * index + 2]
        _draw_image(picture, explanation.image, _plain(caption), 8)
        probabilities = explanation.prefix_probabilities.numpy()
        shown = classes.imshow(probabilities, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for axis in (picture, classes):
            axis.axhline(explanation.settles_at - 1.5, color=ORANGE, linewidth=1.5)
        classes.set_box_aspect(1 / narrow)  # as high as the picture
        classes.set_title(f"{explanation.prediction} from {segment} {explanation.settles_at}", fontsize=8)
        classes.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, fontsize=7)
        classes.set_yticks([])
    figure.colorbar(shown, ax=axes, label="probability", fraction=0.02)
    return figure


def gates_sheet(explanation: Explanation, directions: int, title: str) -> Figure:
    """Draw the gates and states of all units at every step, units ordered by `by_activity`, directions 1 or 2."""
    names = [name for name in FULL_NAMES if name in explanation.gates[0]]
    number = len(explanation.gates)
    figure = Figure(figsize=(2.6 * len(names) + 1.4, 2.4 * number + 0.8), layout="constrained")
    figure.suptitle(_plain(title))
    axes = figure.subplots(number, len(names), squeeze=False)
    for index, layer in enumerate(explanation.gates):
        order = by_activity(layer["h"])
        for axis, name in zip(axes[index], names, strict=True):
            values = layer[name][:, order].numpy()
            high = max(float(np.quantile(np.abs(values), 0.98)), 1e-9)  # a few units are much larger than the rest
            style = ("cividis", 0.0, 1.0, "neither") if name in SIGMOIDS else (DIVERGING, -high, high, "both")
            extent = (0, values.shape[1], len(values) + 0.5, 0.5)  # steps are counted from 1
            limits = {"vmin": style[1], "vmax": style[2], "aspect": "auto", "extent": extent}
            shown = axis.imshow(values, cmap=style[0], interpolation="nearest", **limits)  # does not blend units
            figure.colorbar(shown, ax=axis, fraction=0.08, extend=style[3])
            axis.set_xticks([])
            if index == 0:
                axis.set_title(FULL_NAMES[name])
            if index == number - 1:
                axis.set_xlabel("units by step of max |h|")
        direction = ("forward", "backward")[index % directions]
        axes[index, 0].set_ylabel(f"layer {index // directions + 1}, {direction}\nstep")
    return figure


def rows_sheet(explanation: Explanation, title: str) -> Figure:
    """Draw the gradient of the loss by pixel and by row, and the prediction with each row occluded."""
    segment, prediction = explanation.segment, explanation.prediction
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.suptitle(_plain(title))
    picture, pixels, norms, occlusion = figure.subplots(1, 4, width_ratios=[1, 1.15, 1.3, 1.3])
    _draw_image(picture, explanation.image, "input in the order of reading", 10)
    gradient = explanation.gradient.numpy()
    limit = max(float(np.abs(gradient).max()), 1e-300)
    shown = pixels.imshow(gradient, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="equal")
    figure.colorbar(shown, ax=pixels, fraction=0.045)
    pixels.set(xticks=[], yticks=[])
    pixels.set_title(f"gradient of the loss by pixel,\nlabel {explanation.label}", fontsize=10)

    rows = np.arange(1, SEGMENTS + 1)
    for (name, values), (colour, style) in zip(explanation.gradient_norms.items(), CURVES * 2, strict=False):
        maximum = max(float(values.max()), 1e-300)
        # Matplotlib hides labels that begin with an underscore
        label = f" {_plain(name[-40:])} (max {maximum:.1e})"
        width = 2.5 if name == "this network" else 1.5
        norms.plot(values.numpy() / maximum, rows, style, color=colour, linewidth=width, label=label)
    norms.set(xscale="log", ylim=(SEGMENTS + 0.5, 0.5), ylabel=segment)
    norms.set_title(f"gradient norm by {segment},\nrelative to its maximum", fontsize=10)
    norms.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    norms.grid(alpha=0.3)

    probability = explanation.occluded_probabilities[:, prediction].numpy()
    changed = np.isin(rows, list(explanation.flips))
    occlusion.barh(rows, probability, color=np.where(changed, ORANGE, BLUE).tolist())
    for row, digit in explanation.flips.items():
        occlusion.text(float(probability[row - 1]) + 0.02, row, f"predicts {digit}", va="center", fontsize=9)
    occlusion.set(xlim=(0, 1), ylim=(SEGMENTS + 0.5, 0.5))
    occlusion.set_title(f"probability of {prediction}\nwith this {segment} occluded", fontsize=10)
    return figure


def by_activity(states: Tensor) -> Tensor:
    """Order units of states ``(L, H)`` by the step of their largest absolute state, and within a step by its size."""
    largest, step = states.abs().max(dim=0)
    return (step.double() - largest / (largest.max() + 1e-9) / 2).argsort()


def _plain(text: str) -> str:
    """Escape dollar signs, between which Matplotlib would expect mathematics."""
    return text.replace("$", r"\$")


def _draw_image(axis: Axes, image: Tensor, title: str, fontsize: int) -> None:
    axis.imshow(image.numpy(), cmap="gray_r", vmin=PAPER, vmax=INK, aspect="equal")
    axis.set_xticks([])
    axis.set_yticks([0, 9, 18, 27], ["1", "10", "19", "28"], fontsize=8)
    axis.set_title(title, fontsize=fontsize)
