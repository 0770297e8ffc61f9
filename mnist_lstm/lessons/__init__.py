"""Experiments that teach: each module explains an idea, runs it, and says in numbers what came out.

A lesson is a module with a text of its own and a function ``run``, whose arguments are the command's options.
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
"""Names of the lessons, in the order in which they build on each other, to their modules."""


@dataclass(frozen=True)
class Result:
    """What came out of a lesson.

    Attributes:
        lines: what is printed.
        numbers: the same and more, as plain data, for JSON.
        figure: a picture of it.
    """

    lines: list[str]
    numbers: dict[str, Any]
    figure: "Figure"


def load(name: str) -> ModuleType:
    """Import a lesson by its name."""
    return import_module(f"mnist_lstm.lessons.{MODULES[name]}")


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lay out lines in columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    ]
