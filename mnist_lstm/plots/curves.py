"""Learning curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from mnist_lstm.plots.style import BLUE, ORANGE, finish

Points = Sequence[tuple[int, float]]  # of step and value


def learning_curves(scalars: Mapping[str, Points], title: str) -> Figure:
    """Plot loss and accuracy against the training step, one below the other.

    The scalars are points of train/loss, val/loss, train/acc and val/acc; any of them may be missing.
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
        finish(axis)
    # a log scale shows the small differences at the end of a run
    loss_axis.set(ylabel="loss (log scale)", yscale="log")
    accuracy_axis.set(ylabel="accuracy", xlabel="step")
    accuracies = [value for metric in ("train/acc", "val/acc") for _, value in scalars.get(metric, ())]
    if accuracies and np.median(accuracies) < 1:
        # limits from the median, so that a poor start does not flatten the rest
        spread = min(1.0, 3 * (1 - float(np.median(accuracies))))
        accuracy_axis.set_ylim(1 - spread, 1 + spread / 20)
    return figure
