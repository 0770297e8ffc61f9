"""Measurements for the lesson `vanishing`: gradients by step and by path, and training with and without clipping."""

import math
import statistics
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.lessons.digits import train_step, update
from mnist_lstm.lessons.memory import CUES, draw, seeded
from mnist_lstm.lessons.options import MemoryOptions
from mnist_lstm.network.cells import LSTM
from mnist_lstm.network.model import RowLSTM

OPEN = 5.0  # bias of an open gate: sigmoid(5) = 0.993
PATH_BIASES = (0.0, 1.0, OPEN)
RATES = (0.02, 0.05, 0.2, 0.5)  # of SGD, with and without clipping
CLIPPING = {"not clipped": math.inf, "clipped at 1": 1.0}
CLIP_GAIN = 1.5  # factor on the orthogonal recurrent weights of the RNN that is trained


class Start(NamedTuple):
    """A cell and its initial weights.

    Attributes:
        cell: rnn, gru or lstm.
        init: as in `NetworkOptions`.
        keep_bias: bias of the gates that keep the state, an LSTM's forget gates and a GRU's update gates; None: as
            ``init`` sets it, which is 1 for an LSTM with init orthogonal.
    """

    cell: str
    init: str
    keep_bias: float | None = None


STARTS = {
    "RNN, PyTorch": Start("rnn", "pytorch"),
    "RNN, orthogonal": Start("rnn", "orthogonal"),
    "GRU, PyTorch": Start("gru", "pytorch"),
    "GRU, orthogonal": Start("gru", "orthogonal"),
    "GRU, open gates": Start("gru", "pytorch", OPEN),
    "LSTM, PyTorch": Start("lstm", "pytorch"),
    "LSTM, orthogonal": Start("lstm", "orthogonal"),
    "LSTM, open gates": Start("lstm", "pytorch", OPEN),
}


def build(start: Start, seed: int, hidden_size: int) -> tuple[RowLSTM, torch.Generator]:
    """Return a network with these initial weights, and a generator to draw sequences with."""
    model, generator = seeded(seed, hidden_size, cell=start.cell, init=start.init)
    if start.keep_bias is not None:
        keep = slice(hidden_size, 2 * hidden_size)  # second of the gates i, f, g, o and of r, z, n
        with torch.no_grad():
            model.rnn.get_parameter("bias_ih_l0")[keep] = start.keep_bias
            model.rnn.get_parameter("bias_hh_l0")[keep] = 0
    return model, generator


def candidate(model: RowLSTM) -> Tensor:
    """Return the matrix from the old hidden state to the candidate ``(H, H)``, in float64: U, U_n or U_g."""
    blocks: tuple[Tensor, ...] = model.rnn.get_parameter("weight_hh_l0").detach().double().split(model.rnn.hidden_size)
    return blocks[2] if len(blocks) > 1 else blocks[0]


def radius(matrix: Tensor) -> float:
    """Return the spectral radius, the largest absolute eigenvalue, of a square matrix."""
    return float(torch.linalg.eigvals(matrix).abs().max())


def gradient_norms(model: nn.Module, sequences: Tensor, labels: Tensor) -> list[float]:
    """Return the norm of the gradient of the loss with respect to each step's input, ``(L,)``, over the batch."""
    sequences = sequences.double().requires_grad_()  # float32 ends at 1e-45
    loss = F.cross_entropy(model.double()(sequences), labels)
    (gradient,) = torch.autograd.grad(loss, sequences)
    model.float()
    norms: list[float] = gradient.norm(dim=(0, 2)).clamp(min=1e-300).tolist()
    return norms


def measure_start(start: Start, seed: int, length: int, updates: int, options: MemoryOptions) -> dict[str, Any]:
    """Measure gradients by step before and after ``updates`` updates with Adam; with 0 updates, before only."""
    model, generator = build(start, seed, options.hidden_size)
    result: dict[str, Any] = {"radius": radius(candidate(model))}
    result["before"] = gradient_norms(model, *draw(64, length, generator))
    if updates:
        optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
        losses = [train_step(model, optimizer, *draw(options.batch_size, length, generator)) for _ in range(updates)]
        result["loss"] = statistics.fmean(losses[-10:])
        result["after"] = gradient_norms(model, *draw(64, length, generator))
    return result


def amplified(cell: str, gain: float, seed: int, length: int, hidden_size: int) -> list[float]:
    """Return `gradient_norms` with orthogonal recurrent weights times ``gain``, before training."""
    model, generator = build(Start(cell, "orthogonal"), seed, hidden_size)
    with torch.no_grad():
        model.rnn.get_parameter("weight_hh_l0").mul_(gain)
    return gradient_norms(model, *draw(64, length, generator))


def paths(bias: float, seed: int, hidden_size: int, length: int = 28) -> dict[str, list[float]]:
    """Split the gradient of an LSTM's last cell state with respect to earlier ones by path.

    Norms by part (all paths, the path from cell to cell, the other paths), at distances 1 to length - 1; weights are
    PyTorch's initial ones with this forget bias.
    """
    torch.manual_seed(seed)
    sizes = {"input_size": CUES, "hidden_size": hidden_size, "bidirectional": False}
    network = RowLSTM(**sizes, init="pytorch", forget_bias=bias)
    sequences, _ = draw(1, length, torch.Generator().manual_seed(seed))
    direction = torch.randn(hidden_size, dtype=torch.float64)
    layer = LSTM.like(network.rnn.double())
    state = None
    cells, forget_gates = [], []
    for row in sequences.double().unbind(dim=1):
        trace = layer.trace(row.unsqueeze(1), state)  # step by step: each c must be differentiable
        cells.append(trace.state[1].requires_grad_())
        forget_gates.append(trace.gates[0]["f"][0, 0])
        # recompute h from this c, since the other paths begin with h
        state = (trace.gates[0]["o"] * cells[-1].tanh(), cells[-1])
    gradients = torch.autograd.grad((cells[-1][0, 0] * direction).sum(), cells[:-1])
    all_paths = torch.stack([gradient[0, 0] for gradient in reversed(gradients)])  # (length - 1, H), by distance
    cell_path = torch.stack([direction, *reversed(forget_gates[1:])]).detach().cumprod(dim=0)[1:]
    parts = {"all": all_paths, "cell": cell_path, "others": all_paths - cell_path}
    return {name: part.norm(dim=1).tolist() for name, part in parts.items()}


def train_clipped(rate: float, limit: float, updates: int, seed: int, hidden_size: int) -> dict[str, float]:
    """Train an RNN with large recurrent weights by SGD to recall a cue after 5 of 28 steps.

    Returns the mean loss of the last 20 updates, and the largest gradient norm before clipping at ``limit``.
    """
    model, generator = build(Start("rnn", "orthogonal"), seed, hidden_size)
    with torch.no_grad():
        model.rnn.get_parameter("weight_hh_l0").mul_(CLIP_GAIN)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    losses, norms = [], []
    for _ in range(updates):
        sequences, labels = draw(32, 28, generator, place=22)
        loss = F.cross_entropy(model(sequences), labels)
        norms.append(update(optimizer, loss, limit))
        losses.append(loss.item())
    return {"loss": statistics.fmean(losses[-20:]), "maximum_norm": max(norms)}
