"""The network: recurrent layers that read a sequence, and a linear layer that names its class."""

from typing import Literal

import torch
from torch import Tensor, nn

from mnist_lstm.edges import PER_PIXEL, with_edges
from mnist_lstm.errors import InputError
from mnist_lstm.scan import SCANS, Scan, is_by_pixel
from mnist_lstm.scan import scan as in_order
from mnist_lstm.straighten import straighten as upright

Cell = Literal["lstm", "gru", "rnn"]
Init = Literal["orthogonal", "pytorch"]
Readout = Literal["final", "mean_max"]

_CELLS: dict[str, type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class RowLSTM(nn.Module):
    """Read a sequence step by step, then name its class from the hidden states.

    For a 28x28 digit, a step is a row: ``RowLSTM()`` turns ``(N, 28, 28)`` images into ``(N, 10)`` logits. Any other
    lengths work as well: ``RowLSTM(1, 64, 1, 2)`` tells two classes of sequences ``(N, L, 1)`` apart.

    Args:
        input_size: Numbers a step, before edges; 28 pixels of a row.
        hidden_size: Units H of one layer in one direction.
        num_layers: Layers, each reading the one below.
        num_classes: Classes to tell apart.
        bidirectional: Read from both ends.
        dropout: Probability, from 0 up to but not including 1, of dropping a unit between two layers.
        cell: lstm, gru or rnn (tanh).
        init: orthogonal: recurrent weights orthogonal gate by gate (Saxe et al. 2014), input weights Glorot-uniform,
            biases zero. pytorch: uniform in +-1/sqrt(hidden_size), what PyTorch does by itself.
        forget_bias: Bias of an LSTM's forget gates at the start; 1 lets it remember before it has learnt to
            (Gers et al. 2000, Jozefowicz et al. 2015). Default: 1 with orthogonal, PyTorch's own with pytorch.
        readout: What the head sees of the last layer. final: the last state of each direction, both of which have seen
            the whole sequence; ``out[:, -1]`` would hold a backward state that has seen one step. mean_max: the mean
            and the maximum over all steps, so that nothing has to be carried to the end.
        straighten: Take the sequences for normalised images, and bring these upright first; see
            `mnist_lstm.straighten`.
        scan: The order in which a picture is read, if sequences are square pictures: rows, columns, pixels or
            permuted; see `mnist_lstm.scan`. With the last two, a step is one pixel, and input_size a row's width.
        edges: Take the sequences for normalised images, and read beside each row (or column) the edges in it by their
            direction; see `mnist_lstm.edges`.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        input_size: int = 28,
        hidden_size: int = 128,
        num_layers: int = 1,
        num_classes: int = 10,
        bidirectional: bool = False,
        dropout: float = 0.0,
        cell: Cell = "lstm",
        init: Init = "orthogonal",
        forget_bias: float | None = None,
        readout: Readout = "final",
        straighten: bool = False,
        scan: Scan = "rows",
        edges: bool = False,
    ) -> None:
        super().__init__()
        sizes = {
            "input_size": input_size,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "num_classes": num_classes,
        }
        for name, size in sizes.items():
            if size < 1:
                raise InputError(f"{name} {size}: must be at least 1")
        if not 0 <= dropout < 1:
            raise InputError(f"dropout {dropout}: must be at least 0 and less than 1")
        if dropout > 0 and num_layers == 1:
            raise InputError(f"dropout {dropout}: acts between layers, and num_layers is 1; set one of them otherwise")
        if cell not in _CELLS:
            raise InputError(f"cell {cell!r}: must be one of {', '.join(_CELLS)}")
        if init not in ("orthogonal", "pytorch"):
            raise InputError(f"init {init!r}: must be orthogonal or pytorch")
        if forget_bias is not None and cell != "lstm":
            raise InputError(f"forget_bias {forget_bias}: only an lstm has forget gates, and cell is {cell}")
        if readout not in ("final", "mean_max"):
            raise InputError(f"readout {readout!r}: must be final or mean_max")
        if scan not in SCANS:
            raise InputError(f"scan {scan!r}: must be one of {', '.join(SCANS)}")
        if edges and is_by_pixel(scan):
            raise InputError(f"scan {scan!r}: reads single pixels, which have no edges; set edges to false")

        width = 1 if is_by_pixel(scan) else input_size * PER_PIXEL if edges else input_size
        self.rnn = _CELLS[cell](
            width, hidden_size, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.readout = readout
        self.straighten = straighten
        self.scan = scan
        self.edges = edges
        states = (2 if bidirectional else 1) * (2 if readout == "mean_max" else 1)
        self.head = nn.Linear(states * hidden_size, num_classes)
        if init == "orthogonal":
            _init_orthogonal(self.rnn)
            forget_bias = 1.0 if forget_bias is None else forget_bias
        if cell == "lstm" and forget_bias is not None:
            _set_forget_bias(self.rnn, forget_bias)

    def forward(self, sequences: Tensor) -> Tensor:
        """Name the class of each sequence.

        Args:
            sequences: float tensor ``(N, L, input_size)``, such as normalised images.

        Returns:
            Logits ``(N, num_classes)``.
        """
        return self.answer(self.add_edges(self.lay_out(sequences)))

    def lay_out(self, images: Tensor) -> Tensor:
        """Bring images upright and into the order of reading: ``(N, H, W)`` to ``(N, L, pixels a step)``."""
        return in_order(upright(images) if self.straighten else images, self.scan)

    def add_edges(self, laid_out: Tensor) -> Tensor:
        """Put their edges behind the pixels if the network reads them; returns ``(N, L, numbers a step)``."""
        return with_edges(laid_out) if self.edges else laid_out

    def answer(self, steps: Tensor) -> Tensor:
        """Read ``(N, L, numbers a step)``; returns logits ``(N, num_classes)``."""
        outputs, state = self.rnn(steps)  # (N, L, directions * H)
        if self.readout == "mean_max":
            summary = torch.cat([outputs.mean(dim=1), outputs.amax(dim=1)], dim=1)
        else:
            hidden = state[0] if isinstance(state, tuple) else state  # (num_layers * directions, N, H)
            # the last layer's final states: forward after step L and, when bidirectional, backward after step 1
            summary = torch.cat([hidden[-2], hidden[-1]], dim=1) if self.rnn.bidirectional else hidden[-1]
        logits: Tensor = self.head(summary)
        return logits


@torch.no_grad()
def _init_orthogonal(rnn: nn.RNNBase) -> None:
    for name, parameter in rnn.named_parameters():
        if name.startswith("weight_hh"):
            for gate in torch.split(parameter, rnn.hidden_size):  # (gates * H, H)
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)


@torch.no_grad()
def _set_forget_bias(rnn: nn.RNNBase, value: float) -> None:
    # PyTorch keeps two biases a gate, which add up, in the order i, f, g, o
    forget = slice(rnn.hidden_size, 2 * rnn.hidden_size)
    for name, parameter in rnn.named_parameters():
        if name.startswith("bias_ih"):
            parameter[forget] = value
        elif name.startswith("bias_hh"):
            parameter[forget] = 0
