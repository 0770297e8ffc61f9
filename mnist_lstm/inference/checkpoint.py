"""Read a checkpoint as plain data: nothing named in it runs, and nothing is built before it has been checked."""

import math
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_lstm.errors import InputError
from mnist_lstm.mnist_format import CLASS_NAMES, SIZE
from mnist_lstm.model import RowLSTM
from mnist_lstm.scan import SCANS

MAX_BYTES = 2**31
"""Largest checkpoint that is read: 2 GiB. This project's own have 1 to 13 MB."""

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored as."""

Check = Callable[[Any], bool]


def _whole(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float, *, optional: bool = False) -> Check:
    """Accept numbers from ``low`` to ``high``, and None if ``optional``; infinity and not-a-number never."""

    def check(value: Any) -> bool:
        if value is None:
            return optional
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and low <= value <= high

    return check


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


_TRUE_OR_FALSE: tuple[Check, str] = (lambda value: isinstance(value, bool), "true or false")

HYPER_PARAMETERS: dict[str, tuple[Check, str]] = {
    "input_size": (_whole(1, 4096), "a whole number from 1 to 4096"),
    "hidden_size": (_whole(1, 8192), "a whole number from 1 to 8192"),
    "num_layers": (_whole(1, 64), "a whole number from 1 to 64"),
    "num_classes": (_whole(1, 4096), "a whole number from 1 to 4096"),
    "bidirectional": _TRUE_OR_FALSE,
    "dropout": (_number(0, 1), "a number from 0 to 1"),
    "cell": (_one_of("lstm", "gru", "rnn"), "lstm, gru or rnn"),
    "init": (_one_of("orthogonal", "pytorch"), "orthogonal or pytorch"),
    "forget_bias": (_number(-1e6, 1e6, optional=True), "a number or nothing"),
    "readout": (_one_of("final", "mean_max"), "final or mean_max"),
    "straighten": _TRUE_OR_FALSE,
    "scan": (_one_of(*SCANS), ", ".join(SCANS)),
    "edges": _TRUE_OR_FALSE,
    "optimizer": (_one_of("adamw", "adam"), "adamw or adam"),
    "learning_rate": (_number(0, 1e6), "a number of at least 0"),
    "weight_decay": (_number(0, 1e6, optional=True), "a number of at least 0 or nothing"),
    "schedule": (_one_of("one_cycle", "cosine", "constant"), "one_cycle, cosine or constant"),
    "label_smoothing": (_number(0, 1), "a number from 0 to 1"),
    "dataset": (lambda value: isinstance(value, str) and len(value) <= 100, "a name"),
}
"""What a checkpoint may say about the network and its training, and what is accepted for it."""

IGNORED = frozenset({"_instantiator"})
"""LightningCLI's default setting leaves an _instantiator, which names code; it is never called."""

NETWORK = (
    "input_size",
    "hidden_size",
    "num_layers",
    "num_classes",
    "bidirectional",
    "dropout",
    "cell",
    "readout",
    "straighten",
    "scan",
    "edges",
)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint that ``mnist-lstm fit`` has written.

    Args:
        path: of the file.

    Returns:
        Lightning's checkpoint: ``state_dict`` (names to tensors, on the CPU), ``hyper_parameters``,
        ``datamodule_hyper_parameters``, and what a resumed run needs.

    Raises:
        InputError: there is no such file, it is damaged, it is no checkpoint of this project, its hyper-parameters
            are not those of this version, or it holds more than plain data (loading it would run code; it is refused
            before any runs).
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint file")
    checkpoint = _load(path)
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: it has no state_dict with hyper_parameters")
    for key in ("hyper_parameters", "datamodule_hyper_parameters", "state_dict"):
        table = checkpoint.setdefault(key, {})
        if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
            raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: its {key} are no table of names")
    if not all(isinstance(weight, Tensor) for weight in checkpoint["state_dict"].values()):
        raise InputError(f"{path}: is no checkpoint of mnist-lstm fit: its state_dict holds more than tensors")
    _check_hyper_parameters(checkpoint["hyper_parameters"], path)
    _without_weights(checkpoint["hyper_parameters"], path)  # each may be right, and not all together
    return checkpoint


def build_network(checkpoint: dict[str, Any], path: Path) -> RowLSTM:
    """Build the network of a checkpoint, for digits, ready to classify.

    Args:
        checkpoint: from `read_checkpoint`.
        path: where it comes from, for messages.

    Raises:
        InputError: the network is not one for digits, or the weights are not its.
    """
    known = checkpoint["hyper_parameters"]
    network = _without_weights(known, path)
    shape = known.get("input_size", SIZE), network.head.out_features
    if shape != (SIZE, len(CLASS_NAMES)):
        raise InputError(
            f"{path}: its network reads {shape[0]} numbers a row and knows {shape[1]} classes; "
            f"digits here have {SIZE} and {len(CLASS_NAMES)}"
        )
    weights = {name.removeprefix("model."): weight for name, weight in checkpoint["state_dict"].items()}
    network.load_state_dict(_checked(weights, network.state_dict(), path), assign=True)
    return network.requires_grad_(False).eval()


def _load(path: Path) -> Any:
    """Unpack the file, with `torch.load`'s unpickler for plain data."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start != b"PK\3\4":
            # what torch.save wrote before PyTorch 1.6, any other pickle, or something else altogether
            kind = "is a bare pickle; it could run code and is refused" if start[:1] == b"\x80" else _NO_CHECKPOINT
            raise InputError(f"{path}: {kind}")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InputError(f"{path}: is no checkpoint: its entries are compressed, and PyTorch's are not")
        if sum(entry.file_size for entry in entries) > min(MAX_BYTES, path.stat().st_size):
            raise InputError(f"{path}: announces more than it holds, or more than {MAX_BYTES // 2**30} GiB")
        with warnings.catch_warnings():
            # a foreign file may be a pickle of another protocol; what follows says better what is wrong with it
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: is no checkpoint of plain data; it could run code and is refused") from error
    except Exception as error:  # a damaged file meets all kinds of errors in zipfile, pickle and PyTorch
        raise InputError(f"{path}: {_NO_CHECKPOINT}") from error


_NO_CHECKPOINT = "is no checkpoint, or it is cut short or damaged"


def _check_hyper_parameters(given: dict[str, Any], path: Path) -> None:
    unknown = sorted(given.keys() - HYPER_PARAMETERS.keys() - IGNORED)
    if unknown:
        names = ", ".join(unknown)[:200]
        raise InputError(f"{path}: has options that this version does not know: {names}")
    for name, (check, accepted) in HYPER_PARAMETERS.items():
        if name in given and not check(given[name]):
            value = given[name]
            # a hostile value is not printed: it may be as large as memory
            shown = f" {value!r}"[:40] if isinstance(value, (bool, float, str)) else ""
            raise InputError(f"{path}: its {name} is a {type(value).__name__}{shown}, not {accepted}")


def _without_weights(hyper_parameters: dict[str, Any], path: Path) -> RowLSTM:
    """Build the network that takes its weights from the file: no memory for others, however large it says they are."""
    options = {name: hyper_parameters[name] for name in NETWORK if name in hyper_parameters}
    try:
        with torch.device("meta"):
            return RowLSTM(**options, init="pytorch")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _checked(weights: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the weights in float32, or say what is wrong with them."""
    foreign = "its weights are not those of the network that its options describe"
    missing, surplus = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or surplus:
        what = f"{missing[0]} is missing" if missing else f"{surplus[0][:100]} is not part of it"
        raise InputError(f"{path}: {foreign}: {what}")
    result = {}
    for name, weight in weights.items():
        if weight.layout != torch.strided or weight.dtype not in FLOATS or weight.device.type != "cpu":
            raise InputError(f"{path}: {foreign}: {name} holds no ordinary numbers")
        if weight.shape != expected[name].shape:
            shapes = ("x".join(map(str, shape)) for shape in (weight.shape, expected[name].shape))
            raise InputError(f"{path}: {foreign}: {name} has the shape {' instead of '.join(shapes)}")
        if weight.untyped_storage().nbytes() < weight.numel() * weight.element_size():
            raise InputError(f"{path}: {foreign}: {name} repeats a part of itself")
        result[name] = weight.to(torch.float32)
        if not bool(torch.isfinite(result[name]).all()):
            raise InputError(f"{path}: {name} holds values that are no numbers: its training has failed")
    return result
