"""Sheets of digits and confusion matrices."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.data.format import CLASS_NAMES


def digit_sheet(images: Tensor, captions: Sequence[str], title: str, columns: int = 8) -> Figure:
    """Draw digits ``(N, 28, 28)`` of any range in a grid, the lowest value black, each under its caption."""
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
    """Draw counts ``(C, C)`` by true and predicted class, C up to 10; only the errors are coloured, to stand out."""
    table = counts.cpu().numpy()
    errors = table * (1 - np.eye(len(table), dtype=table.dtype))
    figure = Figure(figsize=(6, 6), layout="constrained")
    axis = figure.subplots()
    axis.imshow(errors, cmap="Oranges", vmin=0, vmax=max(1, int(errors.max())))
    for (row, column), count in np.ndenumerate(table):
        if count:
            colour = "white" if errors[row, column] > errors.max() / 2 else "black"
            weight = "normal" if row == column else "bold"
            axis.text(column, row, f"{count}", ha="center", va="center", fontsize=11, color=colour, fontweight=weight)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    axis.set_xticks(range(len(table)), CLASS_NAMES[: len(table)])
    axis.set_yticks(range(len(table)), CLASS_NAMES[: len(table)])
    return figure
