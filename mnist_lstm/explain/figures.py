"""The figures of `mnist-lstm explain`: belief by row, gates, and what mattered.

The colours are those of cividis and of purple against orange, which people with any kind of colour vision tell apart.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.explain.explanation import STRIPS, Explanation
from mnist_lstm.figures import BLUE, ORANGE
from mnist_lstm.mnist_format import CLASS_NAMES, MEAN, PAPER, STD

INK = (1 - MEAN) / STD
"""Grey level of full ink after `mnist_format.normalise`."""

BETWEEN_0_AND_1 = {"i", "f", "o", "r", "z"}
"""Gates; all else may be negative."""

FULL_NAMES = {
    "i": "input gate i",
    "f": "forget gate f",
    "o": "output gate o",
    "c": "cell state c",
    "h": "hidden state h",
    "r": "reset gate r",
    "z": "update gate z",
    "n": "candidate n",
}
"""What is drawn of a cell; an LSTM's candidate g shows in c."""

LINE_STYLES = ("-", "--", ":", "-.")


def belief_sheet(explanations: Sequence[Explanation], captions: Sequence[str], columns: int = 5) -> Figure:
    """Draw for each digit, beside its rows, what the network believes after each of them.

    Args:
        explanations: of up to some twenty digits.
        captions: one for each.
        columns: digits a line.
    """
    columns = min(columns, len(explanations))
    lines = -(-len(explanations) // columns)
    figure = Figure(figsize=(3.0 * columns + 0.8, 2.3 * lines + 0.7), layout="constrained")
    strip = explanations[0].strip
    figure.suptitle(f"after each {strip}, in the order of reading: how probable is each digit to the network?")
    narrow = 0.5
    axes = figure.subplots(lines, 2 * columns, squeeze=False, width_ratios=[1, narrow] * columns)
    for axis in axes.flat[2 * len(explanations) :]:
        axis.set_axis_off()
    for index, (explanation, caption) in enumerate(zip(explanations, captions, strict=True)):
        picture, beliefs = axes.flat[2 * index : 2 * index + 2]
        _draw_image(picture, explanation.image)
        picture.set_title(_plain(caption), fontsize=8)
        shown = beliefs.imshow(explanation.belief.numpy(), cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for axis in (picture, beliefs):
            axis.axhline(explanation.known_from - 1.5, color=ORANGE, linewidth=1.5)
        beliefs.set_box_aspect(1 / narrow)  # as high as the picture
        beliefs.set_title(f"{explanation.answer} from {strip} {explanation.known_from}", fontsize=8)
        beliefs.set_xticks(range(len(CLASS_NAMES)), CLASS_NAMES, fontsize=7)
        beliefs.set_yticks([])
    figure.colorbar(shown, ax=axes, label="probability", fraction=0.02)
    return figure


def gates_sheet(explanation: Explanation, directions: int, title: str) -> Figure:
    """Draw every gate of every unit at every step, the units in the order in which they are most active.

    Args:
        explanation: of one digit.
        directions: of the network, 1 or 2.
        title: stands above.
    """
    names = [name for name in FULL_NAMES if name in explanation.gates[0]]
    number = len(explanation.gates)
    figure = Figure(figsize=(2.6 * len(names) + 1.4, 2.4 * number + 0.8), layout="constrained")
    figure.suptitle(_plain(title))
    axes = figure.subplots(number, len(names), squeeze=False)
    for index, of in enumerate(explanation.gates):
        order = by_activity(of["h"])
        way = ("forwards", "backwards")[index % directions]
        for axis, name in zip(axes[index], names, strict=True):
            values = of[name][:, order].numpy()
            if name in BETWEEN_0_AND_1:
                colours, low, high, ends = "cividis", 0.0, 1.0, "neither"
            else:
                high = max(float(np.quantile(np.abs(values), 0.98)), 1e-9)  # a few units count for very much
                colours, low, ends = "PuOr", -high, "both"
            extent = (0, values.shape[1], len(values) + 0.5, 0.5)  # steps are counted from 1
            shown = axis.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", extent=extent)
            figure.colorbar(shown, ax=axis, fraction=0.08, extend=ends)
            axis.set_xticks([])
            if index == 0:
                axis.set_title(FULL_NAMES[name])
            if index == number - 1:
                axis.set_xlabel("units")
        axes[index, 0].set_ylabel(f"layer {index // directions + 1}, {way}\nstep")
    return figure


def rows_sheet(explanation: Explanation, title: str) -> Figure:
    """Draw what the loss depends on: its gradient by pixel and by row, and the answer without each row.

    Args:
        explanation: of one digit.
        title: stands above.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    figure.suptitle(_plain(title))
    picture, pixels, norms, without = figure.subplots(1, 4, width_ratios=[1, 1.15, 1.3, 1.3])
    _draw_image(picture, explanation.image)
    picture.set_title("as the network reads it", fontsize=10)
    gradient = explanation.gradient.numpy()
    most = max(float(np.abs(gradient).max()), 1e-300)
    shown = pixels.imshow(gradient, cmap="PuOr", vmin=-most, vmax=most, aspect="equal")
    figure.colorbar(shown, ax=pixels, fraction=0.045)
    pixels.set_title(f"gradient of the loss for a {explanation.label}\nby pixel", fontsize=10)
    pixels.set_xticks([])
    pixels.set_yticks([])

    rows = np.arange(1, STRIPS + 1)
    for (name, values), style in zip(explanation.norms.items(), LINE_STYLES * 2, strict=False):
        highest = max(float(values.max()), 1e-300)
        # Matplotlib hides labels that begin with an underscore
        label = f" {_plain(name[-40:])} ({highest:.1e})"
        colour, width = (ORANGE, 2.5) if name == "this network" else (BLUE, 1.3)
        norms.plot(values.numpy() / highest, rows, style, color=colour, linewidth=width, label=label)
    norms.set(xscale="log", ylim=(STRIPS + 0.5, 0.5), ylabel=explanation.strip)
    norms.set_title(f"its norm by {explanation.strip}, over the largest\n(which is in brackets)", fontsize=10)
    norms.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    norms.grid(alpha=0.3)

    share = explanation.without[:, explanation.answer].numpy()
    changed = np.isin(rows, list(explanation.needed))
    without.barh(rows, share, color=np.where(changed, ORANGE, BLUE).tolist())
    for row, digit in explanation.needed.items():
        without.text(float(share[row - 1]) + 0.02, row, f"{digit} instead", va="center", fontsize=9)
    without.set(xlim=(0, 1), ylim=(STRIPS + 0.5, 0.5))
    without.set_title(f"probability of {explanation.answer}\nwith this {explanation.strip} made paper", fontsize=10)
    return figure


def by_activity(states: Tensor) -> Tensor:
    """Order units by the step at which they are most active, and those of one step by how much.

    Args:
        states: ``(L, H)``.

    Returns:
        int64 tensor ``(H,)``.
    """
    most, when = states.abs().max(dim=0)
    return (when.double() - most / (most.max() + 1e-9) / 2).argsort()


def _plain(text: str) -> str:
    """Keep Matplotlib from taking what stands between two dollar signs for mathematics."""
    return text.replace("$", r"\$")


def _draw_image(axis: Axes, image: Tensor) -> None:
    axis.imshow(image.numpy(), cmap="gray_r", vmin=PAPER, vmax=INK, aspect="equal")
    axis.set_xticks([])
    axis.set_yticks([0, 9, 18, 27], ["1", "10", "19", "28"], fontsize=8)
