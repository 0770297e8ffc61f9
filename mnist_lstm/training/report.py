"""What is printed and written when a run has ended: the summary, the curves, the commands for the next steps."""

import errno
import io
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from mnist_lstm.console import printable
from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.errors import WriteError
from mnist_lstm.files import FULL, write
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.curves import learning_curves
from mnist_lstm.plots.digits import confusion_matrix
from mnist_lstm.training.history import read_scalars


def percent(share: Any) -> str:
    """Format a share between 0 and 1, a number or a tensor, as percent."""
    return f"{100 * float(share):.2f} %"


def print_accuracy(stage: str, share: float) -> None:
    """Print the line that people and programs look for, such as ``test accuracy 98.93 %``."""
    print(f"{stage} accuracy {percent(share)}", flush=True)


def print_lines(lines: dict[str, str]) -> None:
    """Print names and values in two columns."""
    for name, value in lines.items():
        print(f"{name:<12}{printable(value)}", flush=True)


def print_fallback(reason: str) -> None:
    """Print in a box on standard error that a run does not use MNIST, and why."""
    panel = Panel(Text(printable(reason)), title="THIS RUN DOES NOT USE MNIST", border_style="bold yellow")
    Console(stderr=True).print(panel)


def describe(network: RowLSTM) -> str:
    """Describe a network in one line."""
    own = network.options
    directions = " in both directions" if own.bidirectional else ""
    weights = sum(parameter.numel() for parameter in network.parameters())
    return f"{own.cell}, {own.num_layers} x {own.hidden_size} units{directions}, {weights:,} weights"


def describe_devices(trainer: Trainer, batch_size: int) -> dict[str, str]:
    """Return a line about the device, and one about several processes and what each has of a batch."""
    device = trainer.strategy.root_device
    on_gpu = device.type == "cuda"
    lines = {"device": f"GPU ({torch.cuda.get_device_name(device)})" if on_gpu else device.type.upper()}
    count, hosts = trainer.world_size, trainer.num_nodes
    if count > 1:
        on = f" on {hosts} hosts" if hosts > 1 else ""
        share = f"{batch_size / count:,.4g}"
        what = f"({'NCCL' if on_gpu else 'gloo'}), each with {share} of the {batch_size:,} images of a batch"
        lines["processes"] = f"{count}{on} {what}"
    return lines


def print_confusion(counts: Tensor) -> None:
    """Print a confusion matrix ``(10, 10)``, true class by predicted class."""
    table = Table(title="true digit (row) by predicted digit (column)")
    for name in ("", *CLASS_NAMES, "correct"):
        table.add_column(name, justify="right")
    for index, (name, row) in enumerate(zip(CLASS_NAMES, counts.tolist(), strict=True)):
        table.add_row(name, *(str(count) if count else "." for count in row), percent(row[index] / max(1, sum(row))))
    Console().print(table)


def write_test(writer: SummaryWriter, metrics: Mapping[str, float], counts: Tensor, step: int) -> None:
    """Write the result on the test set to TensorBoard: a table in the tab Text, and the confusion matrix ``(10, 10)``.

    Single values as scalars would be a dozen dots before the curves.
    """
    rows = [f"| {name} | {value:.4f} |" for name, value in metrics.items()]
    accuracies = (counts.diagonal() / counts.sum(dim=1).clamp(min=1)).tolist()
    rows += [f"| accuracy of {name} | {percent(share)} |" for name, share in zip(CLASS_NAMES, accuracies, strict=True)]
    writer.add_text("test/results", "\n".join(["| metric | value |", "| --- | --- |", *rows]), step)
    title = f"test: {percent(metrics['test/acc'])} correct"
    writer.add_figure("test/confusion", confusion_matrix(counts, title), step)
    writer.close()


def draw_curves(run: Path, title: str) -> Path | None:
    """Draw ``curves.png`` from what a run, and the runs that it resumed, logged to TensorBoard.

    Return the file, or None if nothing was logged; print which part is missing, if any.
    """
    scalars, missing = read_scalars(run, ("train/loss", "train/acc", "val/loss", "val/acc"))
    if not scalars:
        return None
    if missing:
        print(f"mnist-lstm: warning: {run / 'curves.png'} lacks {printable(missing)}", file=sys.stderr)
    picture = io.BytesIO()
    learning_curves(scalars, title).savefig(picture, format="png", dpi=100)
    write(run / "curves.png", picture.getvalue())
    return run / "curves.png"


def log_lines(loggers: Sequence[Logger], runs: Path) -> dict[str, str]:
    """Return where the logs are and how to look at them, by the logger in use."""
    lines: dict[str, str] = {}
    for logger in loggers:
        name = type(logger).__name__
        folder = os.path.relpath(logger.log_dir or logger.save_dir or ".")
        lines["logs"] = f"{lines['logs']}, {folder}" if "logs" in lines else folder
        if isinstance(logger, TensorBoardLogger):
            shown = runs if Path(folder).is_relative_to(os.path.relpath(runs)) else Path(folder)
            lines["look at it"] = f"{_program('tensorboard')} --logdir {shlex.quote(os.path.relpath(shown))}"
        elif name == "CSVLogger":
            lines["logs"] += "/metrics.csv"
        elif name == "WandbLogger":
            lines["look at it"] = f"{_program('wandb')} sync {shlex.quote(folder)}/wandb/latest-run"
    return lines


def next_steps(checkpoint: Path, options: str) -> dict[str, str]:
    """Return the commands that a newcomer wants next, as they can be typed here; ``options`` are those of testing."""
    file = shlex.quote(str(checkpoint))
    return {
        "test it": f"{_program('mnist-lstm')} test --ckpt_path {file}{options}",
        "use it": f"{_program('mnist-lstm')} classify YOUR_PICTURE.png --ckpt_path {file}",
    }


def resume_command(run: Path) -> str:
    """Return the command that resumes a run from its last checkpoint."""
    config = shlex.quote(os.path.relpath(run / "config.yaml"))
    return f"{_program('mnist-lstm')} fit --config {config} --ckpt_path last"


def describe_write_error(error: BaseException, run: Path) -> str:
    """Return which file of a run could not be written, and why, in one line; "" if that is not what happened."""
    if not run.is_dir():
        return f"{run}: the run's folder has been removed while the run was going on"
    cause: BaseException | None = error
    while cause is not None:  # what Lightning does when a run fails fails too, with less to say
        if isinstance(cause, WriteError):
            return str(cause)
        cause = cause.__context__
    if not isinstance(error, OSError) or error.errno not in (*FULL, errno.EROFS, errno.EIO):
        return ""
    # all other files are written by `mnist_lstm.files`, which names them
    return f"{error.filename or f'TensorBoard files in {run}'}: cannot be written ({error.strerror or error})"


def _program(name: str) -> str:
    """Return how to call a program of this environment: by its name, or by its path if it is not found."""
    here = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found and Path(found).resolve() == here.resolve():
        return name
    return shlex.quote(os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here))
