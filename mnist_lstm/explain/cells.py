"""LSTM, GRU and RNN by their equations, with every gate at every step; their weights are those of PyTorch's layers.

The equations are those of PyTorch's documentation, in the field's names; * is the product element by element, s the
logistic sigmoid. An LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

    i = s(W_i x + b_i + U_i h' + d_i)       input gate: how much of the new is written
    f = s(W_f x + b_f + U_f h' + d_f)       forget gate: how much of the old is kept
    g = tanh(W_g x + b_g + U_g h' + d_g)    candidate: what is new
    o = s(W_o x + b_o + U_o h' + d_o)       output gate: how much is shown
    c = f * c' + i * g                      cell state: the memory
    h = o * tanh(c)                         hidden state: what the head, the next layer and the next step see

c' and h' are those of the step before. A GRU (Cho et al. 2014) has no cell state:

    r = s(W_r x + b_r + U_r h' + d_r)           reset gate: how much of the old the candidate sees
    z = s(W_z x + b_z + U_z h' + d_z)           update gate: how much of the old is kept
    n = tanh(W_n x + b_n + r * (U_n h' + d_n))  candidate
    h = (1 - z) * n + z * h'

(as PyTorch and cuDNN have it; in the paper, r acts on h' before U_n does). And a plain RNN (Elman 1990) has no gates:

    h = tanh(W x + b + U h' + d)
"""

from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.errors import InputError

Gates = dict[str, Tensor]
"""Names of the equations to their values."""


class Trace(NamedTuple):
    """What a layer has done.

    Attributes:
        outputs: as PyTorch's layer returns them: ``(L, N, directions * H)``, or ``(N, L, directions * H)`` if batch
            first, or without N for a single sequence.
        state: as PyTorch's layer returns it: h, or h and c for an LSTM, each ``(layers * directions, N, H)``.
        gates: for each layer, and in it for each direction, all quantities of the equations by name, each of the shape
            ``(L, N, H)``, or arranged as the outputs are; h has proj_size numbers instead of H if that is set. Index t
            belongs to the t-th element of the sequence, in whichever direction it is read.
    """

    outputs: Tensor
    state: Any
    gates: list[Gates]


class Recurrent(nn.Module):
    """Layers and directions around one cell, as PyTorch's recurrent layers have them; subclasses are the cells.

    Takes and returns what the PyTorch layer of the same name does, has parameters of the same names, shapes and initial
    distribution, and trains as that does; only packed sequences are not taken.

    Args:
        input_size: numbers a step.
        hidden_size: units H of one layer in one direction.
        num_layers: each reads the one below.
        bias: whether there are b and d in the equations.
        batch_first: ``(N, L, input_size)`` instead of ``(L, N, input_size)``.
        dropout: probability of dropping a unit between two layers, while training.
        bidirectional: read from both ends.
        proj_size: for an LSTM: units of h, which is a linear map of ``o * tanh(c)``; 0 for none.
    """

    blocks: ClassVar[int]
    """Blocks of H rows in the weights: one for each gate and candidate."""
    peer: ClassVar[type[nn.RNNBase]]
    """PyTorch's layer of the same equations."""

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
            raise InputError(f"proj_size {proj_size}: is for an LSTM, and less than hidden_size {hidden_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional
        self.suffixes = ("", "_reverse") if bidirectional else ("",)
        self.proj_size = proj_size
        shown = proj_size or hidden_size
        rows, spread = self.blocks * hidden_size, hidden_size**-0.5
        for layer in range(num_layers):
            width = input_size if layer == 0 else shown * len(self.suffixes)
            for suffix in self.suffixes:
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, shown)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes |= {"weight_hr": (proj_size, hidden_size)}
                for name, shape in shapes.items():
                    # what nn.Parameter marks is what an optimiser finds; a plain tensor would never be trained
                    weight = nn.Parameter(torch.empty(shape).uniform_(-spread, spread))
                    self.register_parameter(f"{name}_l{layer}{suffix}", weight)

    @classmethod
    def like(cls, layer: nn.RNNBase) -> Self:
        """Build one that computes what a layer of PyTorch does, with a copy of its weights.

        Raises:
            InputError: the layer is of other equations.
        """
        if not isinstance(layer, cls.peer) or getattr(layer, "nonlinearity", "tanh") != "tanh":
            raise InputError(f"{layer} has other equations than those of {cls.__name__} here")
        with torch.device("meta"):  # initial weights would be drawn from the generator, and nobody needs them
            copy = cls(
                layer.input_size,
                layer.hidden_size,
                layer.num_layers,
                layer.bias,
                layer.batch_first,
                layer.dropout,
                layer.bidirectional,
                layer.proj_size,
            )
        copy.load_state_dict({name: weight.clone() for name, weight in layer.state_dict().items()}, assign=True)
        return copy.train(layer.training)

    def forward(self, sequences: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return outputs and last states, as PyTorch's layer does; see `trace` for shapes."""
        return self.trace(sequences, state)[:2]

    def trace(self, sequences: Tensor, state: Any = None) -> Trace:
        """Read sequences, and keep every gate.

        Args:
            sequences: ``(L, N, input_size)``, or ``(N, L, input_size)`` if batch first, or ``(L, input_size)``.
            state: first h, or (h, c) for an LSTM, each ``(layers * directions, N, H)``, without N for a single
                sequence; default: zeros.

        Raises:
            InputError: this is no such tensor.
        """
        if not isinstance(sequences, Tensor) or sequences.dim() not in (2, 3):
            raise InputError("sequences must be one tensor (L, N, input_size), (N, L, input_size) or (L, input_size)")
        single = sequences.dim() == 2
        batch_axis = 0 if self.batch_first and not single else 1
        if sequences.shape[-1] != self.input_size or not sequences.shape[1 - batch_axis]:
            raise InputError(
                f"sequences of the shape {tuple(sequences.shape)}: there must be {self.input_size} numbers a step, "
                "and at least one step"
            )
        steps = sequences.unsqueeze(1) if single else sequences.movedim(batch_axis, 1)  # (L, N, input_size)
        first = self._first_states(steps, state, single)

        gates: list[Gates] = []
        last = []
        for layer in range(self.num_layers):
            if layer > 0:
                steps = F.dropout(steps, self.dropout, self.training)
            directions = []
            for suffix in self.suffixes:
                weights = {
                    name: self._parameters.get(f"{name}_l{layer}{suffix}")
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                }
                directions.append(self._read(steps, [s[len(gates)] for s in first], weights, backward=bool(suffix)))
                gates.append(directions[-1])
                last.append([directions[-1][name][0 if suffix else -1] for name in self.states])
            steps = torch.cat([direction["h"] for direction in directions], dim=2)

        def arrange(values: Tensor) -> Tensor:
            return values.squeeze(1) if single else values.movedim(1, batch_axis)

        end = [torch.stack(values).squeeze(1) if single else torch.stack(values) for values in zip(*last, strict=True)]
        return Trace(
            arrange(steps),
            tuple(end) if len(end) > 1 else end[0],
            [{name: arrange(values) for name, values in of.items()} for of in gates],
        )

    states: ClassVar[tuple[str, ...]] = ("h",)
    """What one step hands to the next."""

    def step(self, reading: Tensor, state: Gates, weights: dict[str, Tensor | None]) -> Gates:
        """Do one step: the equations.

        Args:
            reading: ``W x + b`` of all gates, ``(N, blocks * H)``.
            state: the step before's, ``(N, H)`` each.
            weights: of this layer and direction, by PyTorch's names.
        """
        raise NotImplementedError

    def _read(self, steps: Tensor, first: list[Tensor], weights: dict[str, Any], *, backward: bool) -> Gates:
        # what comes from the input does not depend on the state: one product for all steps
        readings = F.linear(steps, weights["weight_ih"], weights["bias_ih"])  # (L, N, blocks * H)
        now: Gates = dict(zip(self.states, first, strict=True))
        done = []
        # over the steps of time, for the whole batch at once
        for reading in readings.flip(0) if backward else readings:
            now = self.step(reading, now, weights)
            done.append(now)
        if backward:
            done.reverse()
        return {name: torch.stack([step[name] for step in done]) for name in now}

    def _first_states(self, steps: Tensor, state: Any, single: bool) -> list[Tensor]:
        number = self.num_layers * len(self.suffixes)
        shapes = [(number, steps.shape[1], self.proj_size or self.hidden_size)]
        shapes += [(number, steps.shape[1], self.hidden_size)] * (len(self.states) - 1)
        if state is None:
            return [steps.new_zeros(shape) for shape in shapes]
        given = list(state) if len(self.states) > 1 else [state]
        given = [s.unsqueeze(1) for s in given] if single else given
        if [tuple(s.shape) for s in given] != shapes:
            raise InputError(f"the first state has the shapes {[tuple(s.shape) for s in given]} instead of {shapes}")
        return given


class LSTM(Recurrent):
    """`nn.LSTM` by its equations; see the module's text, and `Recurrent` for the arguments."""

    blocks = 4
    peer = nn.LSTM
    states = ("h", "c")

    def step(self, reading: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Do one step; returns i, f, g, o, c and h, each ``(N, H)``."""
        both = reading + F.linear(state["h"], weights["weight_hh"], weights["bias_hh"])
        i, f, g, o = both.chunk(4, dim=1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c = f * state["c"] + i * g
        h = o * c.tanh()
        if weights["weight_hr"] is not None:
            h = F.linear(h, weights["weight_hr"])
        return {"i": i, "f": f, "g": g, "o": o, "c": c, "h": h}


class GRU(Recurrent):
    """`nn.GRU` by its equations; see the module's text, and `Recurrent` for the arguments."""

    blocks = 3
    peer = nn.GRU

    def step(self, reading: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Do one step; returns r, z, n and h, each ``(N, H)``."""
        read_r, read_z, read_n = reading.chunk(3, dim=1)
        kept_r, kept_z, kept_n = F.linear(state["h"], weights["weight_hh"], weights["bias_hh"]).chunk(3, dim=1)
        r, z = (read_r + kept_r).sigmoid(), (read_z + kept_z).sigmoid()
        n = (read_n + r * kept_n).tanh()
        return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * state["h"]}


class RNN(Recurrent):
    """`nn.RNN` with tanh by its equation; see the module's text, and `Recurrent` for the arguments."""

    blocks = 1
    peer = nn.RNN

    def step(self, reading: Tensor, state: Gates, weights: dict[str, Any]) -> Gates:
        """Do one step; returns h, ``(N, H)``."""
        return {"h": (reading + F.linear(state["h"], weights["weight_hh"], weights["bias_hh"])).tanh()}


def by_equations(layer: nn.RNNBase) -> Recurrent:
    """Build the from-scratch twin of a layer of PyTorch, with a copy of its weights.

    Raises:
        InputError: it is none of LSTM, GRU, and RNN with tanh.
    """
    for cell in (LSTM, GRU, RNN):
        if isinstance(layer, cell.peer):
            return cell.like(layer)
    raise InputError(f"{layer} is neither an LSTM nor a GRU nor an RNN")
