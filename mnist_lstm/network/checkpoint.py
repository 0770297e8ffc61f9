"""Read a checkpoint as plain data: nothing named in it runs, and nothing is built before it has been checked."""

import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.errors import InputError
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.options import NetworkOptions, network_part, with_current_names
from mnist_lstm.network.seal import DAMAGED, open_whole

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored as."""

OTHER_OPTIONS = frozenset(
    {"optimizer", "learning_rate", "weight_decay", "schedule", "label_smoothing", "no_digit_weight"}
)
"""Hyper-parameters of `mnist_lstm.training.module.DigitClassifier` that say nothing about the network."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that ``mnist-lstm fit`` has written.

    Returns:
        Lightning's checkpoint: ``state_dict`` (names to tensors, on the CPU), ``hyper_parameters`` under today's
        names, ``datamodule_hyper_parameters``, and the state that a resumed run needs.

    Raises:
        InputError: the file is missing, damaged or not a checkpoint of this project, has hyper-parameters that this
            version does not know, or holds more than plain data (it is refused before any code in it runs).
    """
    checkpoint = _load(path)
    foreign = f"{path}: is not a checkpoint of mnist-lstm fit"
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise InputError(f"{foreign}: it has no state_dict with hyper_parameters")
    for key in ("hyper_parameters", "datamodule_hyper_parameters", "state_dict"):
        table = checkpoint.setdefault(key, {})
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
            raise InputError(f"{foreign}: {key} is not a dictionary with names as keys")
    if not all(isinstance(weight, Tensor) for weight in checkpoint["state_dict"].values()):
        raise InputError(f"{foreign}: its state_dict holds more than tensors")
    checkpoint["hyper_parameters"] = with_current_names(checkpoint["hyper_parameters"])
    _check_hyper_parameters(checkpoint["hyper_parameters"], path)
    return checkpoint


def build_network(checkpoint: dict[str, Any], path: Path) -> RowLSTM:
    """Build the network of a checkpoint from `read_checkpoint`, for digits, ready to classify.

    If it is not for digits, or the weights do not fit it, an `InputError` names ``path``.
    """
    network = without_weights(checkpoint["hyper_parameters"])
    width, classes = network.options.input_size, network.options.num_classes
    if (width, classes) != (SIZE, len(CLASS_NAMES)):
        raise InputError(
            f"{path}: its network reads {width} pixels per row and has {classes} classes; "
            f"digits here have {SIZE} and {len(CLASS_NAMES)}"
        )
    network.load_state_dict(check_weights(checkpoint, network, path), assign=True)
    return network.requires_grad_(False).eval()


def check_weights(checkpoint: dict[str, Any], network: RowLSTM, path: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint in float32, by the network's names, if names and shapes are the network's.

    Raises:
        InputError: names ``path`` and the weight that is missing, foreign, of another shape or not finite.
    """
    weights = {name.removeprefix("model."): weight for name, weight in checkpoint["state_dict"].items()}
    expected = network.state_dict()
    foreign = f"{path}: its weights are not those of the network that its options describe"
    if missing := sorted(expected.keys() - weights.keys()):
        raise InputError(f"{foreign}: {missing[0]} is missing")
    if surplus := sorted(weights.keys() - expected.keys()):
        raise InputError(f"{foreign}: {surplus[0][:100]} is not part of it")
    for name, weight in weights.items():
        if weight.layout != torch.strided or weight.dtype not in FLOATS or weight.device.type != "cpu":
            raise InputError(f"{foreign}: {name} is not a dense tensor of floats")
        if weight.shape != expected[name].shape:
            shapes = ("x".join(map(str, shape)) for shape in (weight.shape, expected[name].shape))
            raise InputError(f"{foreign}: {name} has the shape {' instead of '.join(shapes)}")
        if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
            raise InputError(f"{foreign}: {name} repeats a part of itself")
        weights[name] = weight.to(torch.float32)
        if not bool(torch.isfinite(weights[name]).all()):
            raise InputError(f"{path}: {name} holds values that are not finite: its training has failed")
    return weights


def _load(path: Path) -> Any:
    """Unpack the file, with `torch.load`'s unpickler for plain data."""
    try:
        with open_whole(path) as (file, _), warnings.catch_warnings():
            # of pickle protocols, sparse tensors and so on, by version; the checks that follow say it better
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: holds more than plain data; it could run code and is refused") from error
    except Exception as error:  # a foreign file meets all kinds of errors in pickle and PyTorch
        raise InputError(f"{path}: {DAMAGED}") from error


def _check_hyper_parameters(given: dict[str, Any], path: Path) -> None:
    network = network_part(given)
    if unknown := sorted(given.keys() - network.keys() - OTHER_OPTIONS):
        raise InputError(f"{path}: has options that this version does not know: {', '.join(unknown)[:200]}")
    for name in given.keys() & OTHER_OPTIONS:
        value = given[name]
        is_number = isinstance(value, int | float) and math.isfinite(value)
        if not (value is None or is_number or (isinstance(value, str) and len(value) <= 100)):
            raise InputError(f"{path}: {name} of type {type(value).__name__}: must be a number or a short text")
    try:
        NetworkOptions(**network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def without_weights(hyper_parameters: dict[str, Any]) -> RowLSTM:
    """Build a network without weights, which takes no memory, however large; ignore options that are not its own."""
    options = network_part(hyper_parameters)
    with torch.device("meta"):
        network = RowLSTM(**options | {"init": "pytorch", "forget_bias": None})
    network.options = NetworkOptions(**options)
    return network
