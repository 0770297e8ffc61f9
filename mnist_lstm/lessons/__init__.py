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

_NAMES = ("gates", "scratch", "toy", "sine", "vanishing", "forget-bias", "cells", "bptt", "scan")
MODULES = {name: name.replace("-", "_") for name in _NAMES}
"""Modules of the lessons by their names, in the suggested order."""


@dataclass(frozen=True)
class Result:
    """Result of a lesson."""

    lines: list[str]  # text to print
    numbers: dict[str, Any]  # the same and more as plain data, for JSON
    figure: "Figure"


def load(name: str) -> ModuleType:
    """Import a lesson by its name."""
    return import_module(f"mnist_lstm.lessons.{MODULES[name]}")


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, its first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in [header, *rows]
    ]
