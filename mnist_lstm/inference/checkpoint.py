"""Read a checkpoint as plain data: nothing that is named in it runs."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from mnist_lstm.errors import InputError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that ``mnist-lstm fit`` has written.

    Args:
        path: of the file.

    Returns:
        Lightning's checkpoint: ``state_dict`` (names to tensors, on the CPU), ``hyper_parameters``,
        ``datamodule_hyper_parameters``, and what a resumed run needs.

    Raises:
        InputError: there is no such file, it is damaged, it is no checkpoint of this project, or it holds more than
            plain data (loading it would run code; it is refused before any runs).
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    try:
        with warnings.catch_warnings():
            # a foreign file may be a pickle of another protocol; what follows says better what is wrong with it
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: is no checkpoint of plain data; it could run code and is refused") from error
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no checkpoint, or it is cut short or damaged") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: it has no state_dict with hyper_parameters")
    for key in ("hyper_parameters", "datamodule_hyper_parameters", "state_dict"):
        table = checkpoint.setdefault(key, {})
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
            raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: its {key} are no table of names")
    if not all(isinstance(weight, torch.Tensor) for weight in checkpoint["state_dict"].values()):
        raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: its state_dict holds more than tensors")
    return checkpoint
