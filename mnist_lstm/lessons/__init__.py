"""Teaching experiments: each module explains an idea, tests it in a small experiment and prints the result.

A lesson is a module with a docstring, a dataclass ``Options`` (the command's options) and a function ``run`` that takes
it and returns a `Result`.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODULES = {
    "gates": "gates",
    "scratch": "scratch",
    "toy": "toy",
    "sine": "sine",
    "vanishing": "vanishing",
    "forget-bias": "forget_bias",
    "cells": "cells",
    "bptt": "bptt",
    "scan": "scan",
}
"""Names of the lessons, in the suggested order, to their modules."""


@dataclass(frozen=True)
class Result:
    """Result of a lesson.

    Attributes:
        lines: text to print.
        numbers: the same and more as plain data, for JSON.
        figure: plot of the result.
    """

    lines: list[str]
    numbers: dict[str, Any]
    figure: "Figure"


def load(name: str) -> ModuleType:
    """Import a lesson by its name."""
    return import_module(f"mnist_lstm.lessons.{MODULES[name]}")


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, its first column aligned left, the others right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in [header, *rows]
    ]
