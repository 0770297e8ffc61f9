"""The options that a checkpoint was made with, so that it can be tested or resumed without naming them again."""

import inspect
from pathlib import Path
from typing import Any

from mnist_lstm.data import BATCH_OPTIONS
from mnist_lstm.errors import InputError
from mnist_lstm.inference.checkpoint import HYPER_PARAMETERS, IGNORED, read_checkpoint
from mnist_lstm.model import RowLSTM

MODEL_OPTIONS = HYPER_PARAMETERS.keys() - {"dataset"}
"""Without the data set's name, which the command takes from the data module."""


def with_checkpoint_options(args: list[str], path: Path) -> list[str]:
    """Put a checkpoint's options behind the configs and before all else, where they beat those and no others.

    Args:
        args: command and options.
        path: of the checkpoint.

    Returns:
        The same command with more options.

    Raises:
        InputError: the file is no checkpoint, or has options that are unknown or no plain values.
    """
    checkpoint = read_checkpoint(path)
    options = [
        *_options("model", _older_defaults() | checkpoint["hyper_parameters"], MODEL_OPTIONS, path),
        *_options("data", checkpoint["datamodule_hyper_parameters"], set(BATCH_OPTIONS), path),
    ]
    configs, others = [], []
    rest = iter(args[1:])
    for arg in rest:
        if arg in ("--config", "-c"):
            configs += [arg, next(rest, "")]
        elif arg.startswith("--config="):
            configs.append(arg)
        else:
            others.append(arg)
    return [args[0], *configs, *options, *others]


def _older_defaults() -> dict[str, Any]:
    """Return what a network is whose checkpoint does not say, since it is older than these options."""
    parameters = inspect.signature(RowLSTM).parameters
    return {name: parameters[name].default for name in ("readout", "straighten", "scan")}


def _options(group: str, hparams: dict[str, Any], known: set[str], path: Path) -> list[str]:
    unknown = sorted(set(hparams) - known - {"dataset"} - IGNORED)
    if unknown:
        raise InputError(f"{path}: has options that this version does not know: {', '.join(unknown)}")
    return [
        f"--{group}.{name}={_to_text(f'--{group}.{name}', value, path)}"
        for name, value in hparams.items()
        if name in known
    ]


def _to_text(name: str, value: Any, path: Path) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return str(value)
    raise InputError(f"{path}: option {name} is a {type(value).__name__}, not a plain value")
