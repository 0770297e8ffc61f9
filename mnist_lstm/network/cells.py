"""LSTM, GRU and RNN written out as equations, with every gate of every step; weights are those of PyTorch's layers.

    layer = nn.LSTM(28, 64, batch_first=True)
    outputs, (h, c), gates = LSTM.like(layer).trace(torch.randn(5, 28, 28))

The equations and names are those of PyTorch's documentation; * is the element-wise product, s the logistic sigmoid, and
h' and c' are the states of the step before. An LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000):

    i = s(W_i x + b_i + U_i h' + d_i)       input gate: how much of the candidate is written
    f = s(W_f x + b_f + U_f h' + d_f)       forget gate: how much of the old cell state is kept
    g = tanh(W_g x + b_g + U_g h' + d_g)    candidate
    o = s(W_o x + b_o + U_o h' + d_o)       output gate: how much of the cell state is shown
    c = f * c' + i * g                      cell state: the memory
    h = o * tanh(c)                         hidden state: what the head, the next layer and the next step see

A GRU (Cho et al. 2014) has no cell state:

    r = s(W_r x + b_r + U_r h' + d_r)           reset gate: how much of the old state the candidate sees
    z = s(W_z x + b_z + U_z h' + d_z)           update gate: how much of the old state is kept
    n = tanh(W_n x + b_n + r * (U_n h' + d_n))  candidate
    h = (1 - z) * n + z * h'

(as in PyTorch and cuDNN; in the paper, r is applied to h' before U_n). A plain RNN (Elman 1990) has no gates:

    h = tanh(W x + b + U h' + d)
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.errors import InputError

Gates = dict[str, Tensor]
"""Values by the names in the equations."""

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")


class Trace(NamedTuple):
    """Outputs and last states, as PyTorch's layer returns them, and gates.

    Attributes:
        outputs: ``(L, N, directions * H)``, ``(N, L, directions * H)`` with ``batch_first``, or without N for a single
            sequence.
        state: h, or (h, c) for an LSTM, each ``(layers * directions, N, H)``.
        gates: one dictionary per layer and direction, in PyTorch's order. Values are ``(L, N, H)``, with the axes in
            the same order as those of `outputs`; h has ``proj_size`` values instead of H if that is set. Index t
            belongs to element t of the sequence in both directions.
    """

    outputs: Tensor
    state: Any
    gates: list[Gates]


class Recurrent(nn.Module):
    """Layers and directions around a cell, as in PyTorch's recurrent layers; base class of the cells.

    Arguments, inputs, outputs, parameter names, shapes and initial distribution are those of the PyTorch layer of the
    same name: ``hidden_size`` is the number of units H of one layer in one direction; ``bias`` is b and d; dropout is
    between two layers, during training; ``proj_size``, for an LSTM only, is the size of h, which is then a linear map
    of ``o * tanh(c)``. Packed sequences are not supported.
    """

    blocks: ClassVar[int]  # number of gates and candidates: each has H rows of the weights
    peer: ClassVar[type[nn.RNNBase]]  # PyTorch's layer of the same equations
    states: ClassVar[tuple[str, ...]] = ("h",)  # what one step passes to the next

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        if proj_size and (self.peer is not nn.LSTM or not 0 < proj_size < hidden_size):
            raise InputError(f"proj_size {proj_size}: needs an LSTM, and must be less than hidden_size {hidden_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        self.proj_size, output_size = proj_size, proj_size or hidden_size
        rows, bound = self.blocks * hidden_size, hidden_size**-0.5
        for layer in range(num_layers):
            width = input_size if layer == 0 else output_size * len(self.suffixes)
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, output_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes |= {"weight_hr": (proj_size, hidden_size)}
            for suffix in self.suffixes:
                for name, shape in shapes.items():
                    # only an nn.Parameter is found by the optimizer; a plain tensor would never be trained
                    weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                    self.register_parameter(f"{name}_l{layer}{suffix}", weight)

    @classmethod
    def like(cls, layer: nn.RNNBase) -> Self:
        """Build the equivalent of a PyTorch layer of the same equations, with a copy of its weights."""
        if not isinstance(layer, cls.peer) or getattr(layer, "nonlinearity", "tanh") != "tanh":
            raise InputError(f"{layer} does not compute the equations of {cls.__name__}")
        with torch.device("meta"):  # draws no initial weights, which would advance the random generator
            copy = cls(**{name: getattr(layer, name) for name in OPTIONS})
        copy.load_state_dict({name: weight.clone() for name, weight in layer.state_dict().items()}, assign=True)
        return copy.train(layer.training)

    def forward(self, sequences: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return outputs and last states, as PyTorch's layer does; see `trace` for the shapes."""
        return self.trace(sequences, state)[:2]

    def trace(self, sequences: Tensor, state: Any = None) -> Trace:
        """Read sequences and keep every gate.

        Sequences are ``(L, N, input_size)``, ``(N, L, input_size)`` with ``batch_first``, or ``(L, input_size)``. The
        initial state, by default zeros, is h, or (h, c) for an LSTM, each ``(layers * directions, N, H)``, without N
        for a single sequence.
        """
        if not isinstance(sequences, Tensor) or sequences.dim() not in (2, 3):
            raise InputError("sequences must be one tensor (L, N, input_size), (N, L, input_size) or (L, input_size)")
        single = sequences.dim() == 2
        batch_axis = 0 if self.batch_first and not single else 1
        if sequences.shape[-1] != self.input_size or not sequences.shape[1 - batch_axis]:
            raise InputError(
                f"sequences of the shape {tuple(sequences.shape)}: expected {self.input_size} values per step and at "
                "least one step"
            )
        steps = sequences.unsqueeze(1) if single else sequences.movedim(batch_axis, 1)  # (L, N, input_size)
        initial = self._initial_states(steps, state, single)

        gates: list[Gates] = []
        last = []
        for layer in range(self.num_layers):
            if layer > 0:
                steps = F.dropout(steps, self.dropout, self.training)
            for suffix in self.suffixes:
                weights = self.weights(f"l{layer}{suffix}")
                gates.append(self._read(steps, [s[len(gates)] for s in initial], weights, backward=bool(suffix)))
                last.append([gates[-1][name][0 if suffix else -1] for name in self.states])
            steps = torch.cat([each["h"] for each in gates[-len(self.suffixes) :]], dim=2)  # (L, N, directions * H)

        def arrange(values: Tensor) -> Tensor:
            return values.squeeze(1) if single else values.movedim(1, batch_axis)

        end = [torch.stack(values).squeeze(1) if single else torch.stack(values) for values in zip(*last, strict=True)]
        return Trace(
            arrange(steps),
            tuple(end) if len(end) > 1 else end[0],
            [{name: arrange(values) for name, values in layer_gates.items()} for layer_gates in gates],
        )

    def weights(self, of: str = "l0") -> dict[str, Any]:
        """Return the weights for `step` of a layer and direction such as l1_reverse, by PyTorch's names without that.

        Those that the layer does not have are None.
        """
        return {name: self._parameters.get(f"{name}_{of}") for name in WEIGHTS}

    def step(self, projected: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Compute all values of the equations of one step from the state of the step before, ``(N, H)`` each.

        ``projected`` is ``W x + b`` of all gates, ``(N, blocks * H)``, and the weights are `weights` of the layer.
        """
        raise NotImplementedError

    def _read(self, steps: Tensor, initial: list[Tensor], weights: dict[str, Any], *, backward: bool) -> Gates:
        # W x + b does not depend on the state: one product for all steps
        projected = F.linear(steps, weights["weight_ih"], weights["bias_ih"])  # (L, N, blocks * H)
        now: Gates = dict(zip(self.states, initial, strict=True))
        done = []
        for step in projected.flip(0) if backward else projected:  # over time, the whole batch at once
            now = self.step(step, now, weights)
            done.append(now)
        if backward:
            done.reverse()
        return {name: torch.stack([values[name] for values in done]) for name in now}

    def _initial_states(self, steps: Tensor, state: Any, single: bool) -> list[Tensor]:
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: len(self.states)]
        shapes = [(self.num_layers * len(self.suffixes), steps.shape[1], size) for size in sizes]
        if state is None:
            return [steps.new_zeros(shape) for shape in shapes]
        given = list(state) if len(self.states) > 1 else [state]
        given = [s.unsqueeze(1) for s in given] if single else given
        if [tuple(s.shape) for s in given] != shapes:
            raise InputError(f"initial state of the shapes {[tuple(s.shape) for s in given]}: expected {shapes}")
        return given


class LSTM(Recurrent):
    """`nn.LSTM` as equations; see the module's docstring, and `Recurrent` for the arguments."""

    blocks = 4
    peer = nn.LSTM
    states = ("h", "c")

    def step(self, projected: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Compute i, f, g, o, c and h, each ``(N, H)``."""
        both = projected + F.linear(state["h"], weights["weight_hh"], weights["bias_hh"])
        i, f, g, o = both.chunk(4, dim=1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * state["c"] + i * g
        h = o * c.tanh()
        if weights["weight_hr"] is not None:
            h = F.linear(h, weights["weight_hr"])
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


class GRU(Recurrent):
    """`nn.GRU` as equations; see the module's docstring, and `Recurrent` for the arguments."""

    blocks = 3
    peer = nn.GRU

    def step(self, projected: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Compute r, z, n and h, each ``(N, H)``."""
        x_r, x_z, x_n = projected.chunk(3, dim=1)
        h_r, h_z, h_n = F.linear(state["h"], weights["weight_hh"], weights["bias_hh"]).chunk(3, dim=1)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * state["h"]}


class RNN(Recurrent):
    """`nn.RNN` with tanh as an equation; see the module's docstring, and `Recurrent` for the arguments."""

    blocks = 1
    peer = nn.RNN

    def step(self, projected: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Compute h, ``(N, H)``."""
        return {"h": (projected + F.linear(state["h"], weights["weight_hh"], weights["bias_hh"])).tanh()}


def by_equations(layer: nn.RNNBase) -> Recurrent:
    """Build the equivalent of a PyTorch LSTM, GRU or RNN with tanh, with a copy of its weights."""
    for cell in (LSTM, GRU, RNN):
        if isinstance(layer, cell.peer):
            return cell.like(layer)
    raise InputError(f"{layer} is not an LSTM, a GRU or an RNN")
