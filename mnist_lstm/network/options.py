"""`NetworkOptions`: every option of the network, once, with its default, its check and its help.

`RowLSTM`, the command line, checkpoints and their checks all read this class. A new option is a field here and its use
in `mnist_lstm.network.model`. Its default is what networks were before it existed: a checkpoint that does not name the
option is read with the default, so a default never changes.
"""

import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, Literal

from mnist_lstm.errors import InputError
from mnist_lstm.network.init import Init
from mnist_lstm.network.scan_order import ScanOrder, is_by_pixel

Cell = Literal["lstm", "gru", "rnn"]
Pooling = Literal["final", "avgmax"]

RENAMED = {"readout": "pooling", "straighten": "deskew", "scan": "scan_order", "edges": "gradient_features"}
"""Former names of options, as older checkpoints have them."""

DROPPED = frozenset({"dataset", "_instantiator"})
"""Former hyper-parameters without meaning: the data module names the data set, and LightningCLI used to leave code."""


def _between(default: Any, low: float, high: float) -> Any:
    """Declare a number from ``low`` to ``high``."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Options of a `RowLSTM`; one of a wrong type or out of its range raises an `InputError`.

    Args:
        input_size: Pixels per row.
        hidden_size: Units of one layer in one direction. 128 reach about 99 % on MNIST in two to three minutes on two
            cores; 64 are the tutorials' choice.
        num_layers: Layers; each reads the outputs of the one below.
        num_classes: Number of classes.
        bidirectional: Read the sequence from both ends.
        dropout: Probability of dropping a unit between two layers, at least 0 and less than 1.
        cell: lstm, gru or rnn (tanh).
        init: orthogonal: recurrent weights orthogonal gate by gate (Saxe et al. 2014), input weights Glorot-uniform,
            biases zero. pytorch: PyTorch's own, uniform in +-1/sqrt(hidden_size). chrono: orthogonal, with biases of
            forget and input gates for memories of 2 steps up to the whole sequence (Tallec & Ollivier 2018); for long
            sequences, such as scan_order pixels.
        forget_bias: Initial bias of the forget gates; default: 1 with init orthogonal (Gers et al. 2000, Jozefowicz et
            al. 2015), PyTorch's own with init pytorch. Not with init chrono, which draws them.
        pooling: What the linear head sees. final: the last hidden state of each direction. avgmax: mean and maximum of
            the hidden states over all steps.
        deskew: Shear and centre each image before it is read; costs one to four percent of the time.
        scan_order: rows: one row per step, from the top. columns: one column per step, from the left. pixels: one
            pixel per step, 784 steps. permuted: pixels in a fixed random order.
        gradient_features: Append to each row the slope of its ink in eight directions; costs a quarter more time with
            two layers, nearly twice the time with one. Not with scan_order pixels or permuted.
    """

    input_size: int = _between(28, 1, 4096)
    hidden_size: int = _between(128, 1, 8192)
    num_layers: int = _between(1, 1, 64)
    num_classes: int = _between(10, 1, 4096)
    bidirectional: bool = True
    dropout: float = _between(0.0, 0, math.nextafter(1, 0))
    cell: Cell = "lstm"
    init: Init = "orthogonal"
    forget_bias: float | None = _between(None, -1e6, 1e6)
    pooling: Pooling = "final"
    deskew: bool = False
    scan_order: ScanOrder = "rows"
    gradient_features: bool = False

    def __post_init__(self) -> None:
        """Check each option by its type and range, then those that depend on each other."""
        types = typing.get_type_hints(type(self))
        for option in fields(self):
            value = getattr(self, option.name)
            wanted = _what_it_must_be(value, types[option.name], option.metadata)
            if wanted:
                raise InputError(f"{option.name} {_shown(value)}: must be {wanted}")
        if self.dropout > 0 and self.num_layers == 1:
            raise InputError(f"dropout {self.dropout}: acts between layers, and num_layers is 1; change one of them")
        if self.forget_bias is not None and self.cell != "lstm":
            raise InputError(f"forget_bias {self.forget_bias}: only lstm has forget gates, and cell is {self.cell}")
        if self.init == "chrono" and self.cell != "lstm":
            raise InputError(f"init chrono: sets forget and input gates, which only lstm has, and cell is {self.cell}")
        if self.init == "chrono" and self.forget_bias is not None:
            raise InputError(f"forget_bias {self.forget_bias}: init chrono draws these biases; leave one of them out")
        if self.gradient_features and is_by_pixel(self.scan_order):
            raise InputError(f"gradient_features: need rows or columns, and scan_order is {self.scan_order}")


def with_current_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters under today's names and values, those without meaning left out."""
    current = {RENAMED.get(name, name): value for name, value in options.items() if name not in DROPPED}
    if current.get("pooling") == "mean_max":  # the former name of avgmax
        current["pooling"] = "avgmax"
    return current


def network_part(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those hyper-parameters that are the network's."""
    return {option.name: options[option.name] for option in fields(NetworkOptions) if option.name in options}


def _what_it_must_be(value: Any, kind: Any, limits: Mapping[str, float]) -> str:
    """Return what would be accepted instead of a value, or "" if it is accepted."""
    choices = typing.get_args(kind)
    if choices and NoneType not in choices:  # a Literal
        return "" if isinstance(value, str) and value in choices else " or ".join(map(str, choices))
    if kind is bool:
        return "" if isinstance(value, bool) else "true or false"
    if value is None and NoneType in choices:
        return ""
    low, high = limits["low"], limits["high"]
    number = int if kind is int else (int, float)
    if isinstance(value, number) and not isinstance(value, bool) and low <= value <= high:
        return ""
    if kind is int:
        return f"a whole number from {low} to {high}"
    return f"a number from {low:g} to {high:g}" if high != math.nextafter(1, 0) else "at least 0 and less than 1"


def _shown(value: Any) -> str:
    """Show a value that may come from a hostile file, and be as large as memory."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**20):
        return str(value)
    return f"of type {type(value).__name__}"
