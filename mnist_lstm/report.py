"""What ``fit`` and ``test`` tell when they have ended: the table, the curves, the commands for the next steps."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from mnist_lstm import figures
from mnist_lstm.errors import printable
from mnist_lstm.mnist_format import CLASS_NAMES


def percent(share: Any) -> str:
    """Write a share between 0 and 1, a number or a tensor, as percent."""
    return f"{100 * float(share):.2f} %"


def print_accuracy(stage: str, share: float) -> None:
    """Print the line that people and programs look for, such as ``test accuracy 98.93 %``."""
    print(f"{stage} accuracy {percent(share)}", flush=True)


def print_lines(lines: dict[str, str]) -> None:
    """Print names and values in two columns."""
    for name, value in lines.items():
        print(f"{name:<12}{printable(value)}", flush=True)


def print_confusion(counts: Tensor) -> None:
    """Print which digit was taken for which.

    Args:
        counts: int tensor ``(10, 10)``, true class by predicted class.
    """
    names = CLASS_NAMES if len(counts) == len(CLASS_NAMES) else tuple(map(str, range(len(counts))))
    table = Table(title="true digit (row) by predicted digit (column)")
    for name in ("", *names, "right"):
        table.add_column(name, justify="right")
    for index, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        table.add_row(name, *(str(count) if count else "." for count in row), percent(row[index] / max(1, sum(row))))
    Console().print(table)


def draw_curves(run: Path, title: str) -> Path | None:
    """Draw ``curves.png`` from what was logged to TensorBoard.

    Args:
        run: the run's folder.
        title: stands above the curves.

    Returns:
        The file, or None if nothing was logged.
    """
    # TensorBoard's reader takes half a second to import; only this function needs it
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    names = set(events.Tags()["scalars"]) & {"train/loss", "train/acc", "val/loss", "val/acc"}
    if not names:
        return None
    scalars = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}
    figures.learning_curves(scalars, title).savefig(run / "curves.png", dpi=100)
    return run / "curves.png"


def next_steps(runs: Path, checkpoint: Path | None, options: str) -> dict[str, str]:
    """Name the commands that a newcomer wants next, as they can be typed here.

    Args:
        runs: folder of all runs.
        checkpoint: to test and to use.
        options: that testing needs to find the data.
    """
    steps = {"look at it": f"{_program('tensorboard')} --logdir {shlex.quote(os.path.relpath(runs))}"}
    if checkpoint:
        file = shlex.quote(str(checkpoint))
        steps["test it"] = f"{_program('mnist-lstm')} test --ckpt_path {file}{options}"
        steps["use it"] = f"{_program('mnist-lstm')} classify YOUR_PICTURE.png --ckpt_path {file}"
    return steps


def resume_command(run: Path) -> str:
    """Name the command that goes on with a run from its last whole epoch."""
    config, checkpoint = (shlex.quote(os.path.relpath(run / name)) for name in ("config.yaml", "checkpoints/last.ckpt"))
    return f"{_program('mnist-lstm')} fit --config {config} --ckpt_path {checkpoint}"


def _program(name: str) -> str:
    """Return how the reader can call a program of this environment: by its name, or by its path if it is not found."""
    here = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found and Path(found).resolve() == here.resolve():
        return name
    return shlex.quote(os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here))
