"""The pictures that a run leaves: sheets of digits, the confusion matrix, the learning curves.

Every function returns a Matplotlib `Figure`, made without pyplot, so that it needs no screen and keeps no global
state.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.mnist_format import CLASS_NAMES

BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Colours that people with any kind of colour vision tell apart (Okabe & Ito 2008)."""

Points = Sequence[tuple[int, float]]


def to_pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Draw a figure into an RGB array ``(height, width, 3)``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


def digit_sheet(images: Tensor, captions: Sequence[str], title: str, columns: int = 8) -> Figure:
    """Lay digits out in a grid, each under its caption.

    Args:
        images: ``(N, 28, 28)``, any range; dark is paper.
        captions: N texts.
        title: stands above the grid.
        columns: digits a row.
    """
    rows = max(1, -(-len(captions) // columns))
    figure = Figure(figsize=(columns * 1.1, rows * 1.6 + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=14)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, caption in zip(axes.flat, images.cpu().float().numpy(), captions, strict=False):
        axis.imshow(image, cmap="gray")
        axis.set_title(caption, fontsize=13)  # TensorBoard shows the sheet at a third of its size
    return figure


def confusion_matrix(counts: Tensor, title: str) -> Figure:
    """Draw how often each digit (row) was taken for each (column); what is wrong stands out, what is right does not.

    Args:
        counts: ``(10, 10)``, true class by predicted class.
        title: stands above the matrix.
    """
    table = counts.cpu().numpy()
    mistakes = table * (1 - np.eye(len(table), dtype=table.dtype))
    figure = Figure(figsize=(6, 6), layout="constrained")
    axis = figure.subplots()
    axis.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, int(mistakes.max())))
    for (row, column), count in np.ndenumerate(table):
        if count:
            dark = mistakes[row, column] > mistakes.max() / 2
            axis.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=11,
                color="white" if dark else "black",
                fontweight="normal" if row == column else "bold",
            )
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.set_xticks(range(len(table)), CLASS_NAMES[: len(table)])
    axis.set_yticks(range(len(table)), CLASS_NAMES[: len(table)])
    return figure


def learning_curves(scalars: Mapping[str, Points], title: str) -> Figure:
    """Draw the losses, and below them the accuracies, over the steps.

    Args:
        scalars: (step, value) points of train/loss, val/loss, train/acc and val/acc, as far as there are any.
        title: stands above the curves.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    figure.suptitle(title)
    loss_axis, accuracy_axis = figure.subplots(2, 1, sharex=True)
    for axis, metric in ((loss_axis, "loss"), (accuracy_axis, "acc")):
        for stage, name, colour, marker in (("train", "training", BLUE, ""), ("val", "validation", ORANGE, "o")):
            points = scalars.get(f"{stage}/{metric}", ())
            if points:
                steps, values = zip(*points, strict=True)
                label = f"{name}, last {values[-1]:.4f}"
                axis.plot(steps, values, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)
        axis.grid(alpha=0.3)
        axis.legend()
    # the last tenths of a percent are what a run is about: a log scale shows them, of the loss and of the errors
    loss_axis.set(ylabel="loss (log scale)", yscale="log")
    accuracy_axis.set(ylabel="accuracy", xlabel="step")
    accuracies = [value for metric in ("train/acc", "val/acc") for _, value in scalars.get(metric, ())]
    if accuracies and np.median(accuracies) < 1:
        # begin where the middle of the training lies, so that one bad start does not flatten the rest
        spread = min(1.0, 3 * (1 - float(np.median(accuracies))))
        accuracy_axis.set_ylim(1 - spread, 1 + spread / 20)
    return figure
