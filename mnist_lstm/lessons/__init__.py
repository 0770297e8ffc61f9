"""Teaching experiments: each module explains an idea, tests it in a small experiment and prints the result.

A lesson is a module with a docstring, a dataclass ``Options`` (the command's options), a function ``run`` that takes it
and returns a `Result`, and if it takes long, ``QUICK``, the options that ``--quick`` changes.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NAMES = (
    *("gates", "by-hand", "scratch", "gru", "saving"),  # what an LSTM computes
    *("toy", "sine", "characters", "capacity"),  # sequences that are no digits
    *("vanishing", "init", "paths", "forget-bias", "time-scales", "bptt"),  # gradients over many steps
    *("cells", "scan", "rows", "surgery", "units"),  # reading digits
)
MODULES = {name: name.replace("-", "_") for name in _NAMES}
"""Modules of the lessons by their names, in the suggested order."""


class Measure(NamedTuple):
    """A figure that a lesson measures, for the table of results.

    Attributes:
        name: what it is, with its unit if it has one.
        values: one for each seed.
        style: how a value is printed, as for `format`.
        is_time: whether it depends on the machine and on what else that is doing.
    """

    name: str
    values: Sequence[float]
    style: str = ".3f"
    is_time: bool = False


@dataclass(frozen=True)
class Result:
    """Result of a lesson.

    Attributes:
        lines: text to print.
        numbers: the same and more as plain data, for JSON.
        figure: of the main result.
        more: further figures by their names.
        measures: what the table of results shows, in its order.
    """

    lines: list[str]
    numbers: dict[str, Any]
    figure: "Figure"
    more: dict[str, "Figure"] = field(default_factory=dict)
    measures: list[Measure] = field(default_factory=list)


def load(name: str) -> ModuleType:
    """Import a lesson by its name."""
    return import_module(f"mnist_lstm.lessons.{MODULES[name]}")


def spread(values: Sequence[float], style: str = ".3f") -> str:
    """Format the median of values from several seeds with the lowest and the highest, such as 0.5 (0.3 to 0.8)."""
    low, middle, high = (format(value, style) for value in (min(values), statistics.median(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, its first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in [header, *rows]
    ]
