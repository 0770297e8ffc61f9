"""Figures of a sweep: the values of its trials, and which options matter."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from mnist_lstm.plots.style import BLUE, GREEN, ORANGE, finish

Points = Sequence[tuple[int, float]]  # number of a trial, and its value


def draw_history(complete: Points, pruned: Points, metric: str, title: str) -> Figure:
    """Plot the value of each trial, and the best so far; a lower loss is better, and a higher accuracy."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    for points, colour, marker, label in ((complete, BLUE, "o", "complete"), (pruned, ORANGE, "x", "pruned")):
        if points:
            axis.scatter([x for x, _ in points], [y for _, y in points], color=colour, marker=marker, s=25, label=label)
    better = min if metric.endswith("loss") else max
    numbers = [number for number, _ in complete]
    best = [better(value for _, value in complete[: index + 1]) for index in range(len(complete))]
    if best:
        last = max(number for points in (complete, pruned) for number, _ in points)
        axis.step([*numbers, last], [*best, best[-1]], where="post", color=GREEN, label="best so far")
    if metric.endswith("loss") and best:
        axis.set_yscale("log")
    finish(axis, xlabel="trial", ylabel=metric, title=title)
    return figure


def draw_importances(importances: Mapping[str, float], title: str) -> Figure:
    """Draw how much of the importance each option has, the most important on top; they sum to 1."""
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(importances)), layout="constrained")
    axis = figure.subplots()
    ordered = sorted(importances.items(), key=lambda item: item[1])
    bars = axis.barh([name for name, _ in ordered], [share for _, share in ordered], color=BLUE)
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.set(xlim=(0, 1.1), xlabel="importance")
    figure.suptitle(title)  # in the middle of the figure: names of options take half of its width
    return figure
