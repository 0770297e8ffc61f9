"""The options that a checkpoint was made with, so that it can be tested or resumed without naming them again."""

from pathlib import Path
from typing import Any

from mnist_lstm.data import BATCH_OPTIONS
from mnist_lstm.errors import InputError
from mnist_lstm.inference.checkpoint import HYPER_PARAMETERS, IGNORED, read_checkpoint

MODEL_OPTIONS = HYPER_PARAMETERS.keys() - {"dataset"}
"""Without the data set's name, which the command takes from the data module."""

OLDER_MODEL = {"readout": "final", "straighten": False, "scan": "rows", "edges": False}
"""What every network was before these options were there, which is why its checkpoint does not name them."""

OLDER_DATA: dict[str, Any] = {"split": "random"}
"""How every split was drawn before there was a choice."""


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
        *_options("model", OLDER_MODEL | checkpoint["hyper_parameters"], MODEL_OPTIONS, path),
        *_options("data", data_options(checkpoint), set(BATCH_OPTIONS), path),
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


def data_options(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the data that a checkpoint's network was trained on; empty if it does not say."""
    given: dict[str, Any] = checkpoint["datamodule_hyper_parameters"]
    return OLDER_DATA | given if given else {}


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
