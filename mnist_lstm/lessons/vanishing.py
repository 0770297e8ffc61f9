"""Why gradients vanish or explode on their way back through the steps, and what the cell state changes.

Squashed again and again. The sigmoid has a slope of at most 1/4. Applied k times, its slope is a product of k slopes,
at most 1/4 to the power k: the curve goes flat, and whatever came in, nearly the same comes out. tanh has a slope of up
to 1, at 0, one reason for its use inside of recurrent cells.

Through the steps. The loss L depends on the state h_t of an RNN through all states after it, so that

    dL/dh_t = dL/dh_T J_T ... J_(t+2) J_(t+1),     J_k = diag(tanh'(a_k)) U,     a_k = W x_k + U h_(k-1) + b

a product of T - t matrices: in general it shrinks or grows exponentially with the distance (Hochreiter & Schmidhuber
1997; Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks").

By the cell. In an LSTM, c_t = f_t * c_(t-1) + i_t * g_t, and the gates depend on h_(t-1). The gradient from c_T back to
c_t is a sum over all paths through the network. One of them goes from cell to cell alone, and its gradient is the
product of the forget gates, f_(t+1) * ... * f_T, element by element, with no weights and no slopes in it. As long as
the gates stay open it does not vanish. All others lead through some hidden state and so through weights and slopes. The
lesson measures the first apart from the rest. It is the open gate that does it, not the LSTM as such: with gates that
begin half open, as PyTorch's do, an LSTM loses its gradient nearly as fast as an RNN.

Exploding. Where weights are large the product grows instead. One step along such a gradient throws the weights far off;
clipping scales a gradient whose norm is above a limit down to it, and keeps its direction (Pascanu et al. 2013).

What is measured: the norm of the gradient of the loss with respect to the input of each step, by the distance to the
end, for sequences in which one of four marks, read first, is to be named at the end; before training and after it.
"""

import math
import statistics
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.explain.cells import LSTM
from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import train_step
from mnist_lstm.lessons.memory import GUESS, MARKS, draw
from mnist_lstm.lessons.options import Count, Rate, Seed, Size
from mnist_lstm.model import RowLSTM
from mnist_lstm.progress import track

LENGTHS = (28, 100, 400)

CELLS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"cell": "lstm"},
    "LSTM, forget bias 5": {"cell": "lstm", "forget_bias": 5.0},
}

LOOKS = {
    "RNN": (PINK, ":"),
    "GRU": (GREEN, "-."),
    "LSTM": (BLUE, "--"),
    "LSTM, forget bias 5": (ORANGE, "-"),
}

DEPTHS = (1, 2, 3, 5)
"""Times that the sigmoid is applied."""


def run(
    updates: Count = 80,
    hidden_size: Size = 32,
    batch_size: Size = 32,
    learning_rate: Rate = 0.01,
    gain: Rate = 1.5,
    seed: Seed = 0,
) -> Result:
    """Measure gradients on their way back.

    Args:
        updates: Steps of training between the two measurements.
        hidden_size: Units of each network.
        batch_size: Sequences a step.
        learning_rate: Of Adam.
        gain: Factor on the orthogonal recurrent weights of the RNN whose gradients are to explode.
        seed: Of weights and sequences.
    """
    slopes = _slopes()
    norms: dict[str, dict[str, dict[int, list[float]]]] = {"before": {}, "after": {}}
    losses: dict[str, dict[int, float]] = {}
    for name, length in track([(name, length) for name in CELLS for length in LENGTHS], "measuring gradients"):
        torch.manual_seed(seed)
        model = RowLSTM(MARKS, hidden_size, num_classes=MARKS, init="pytorch", **CELLS[name])
        generator = torch.Generator().manual_seed(seed)
        norms["before"].setdefault(name, {})[length] = gradient_norms(model, *draw(64, length, generator))
        optimiser = torch.optim.Adam(model.parameters(), learning_rate)
        loss = math.nan
        for _ in range(updates):
            loss, _ = train_step(model, optimiser, *draw(batch_size, length, generator))
        losses.setdefault(name, {})[length] = loss
        norms["after"].setdefault(name, {})[length] = gradient_norms(model, *draw(64, length, generator))
    paths = _paths(hidden_size, seed)
    exploded = _explode(hidden_size, gain, seed)

    reach = {
        when: {name: {length: values[0] / values[-1] for length, values in by.items()} for name, by in of.items()}
        for when, of in norms.items()
    }
    rows = [
        [name, *(f"{reach[when][name][length]:.0e}" for when in reach for length in LENGTHS)]
        + [f"{losses[name][length]:.2f}" for length in LENGTHS]
        for name in CELLS
    ]
    header = ["", *(f"{length} {when}" for when in reach for length in LENGTHS), *(f"loss {n}" for n in LENGTHS)]
    deepest = DEPTHS[-1]
    lines = [
        f"largest slope of the sigmoid {slopes['sigmoid']:.2f}, of tanh {slopes['tanh']:.2f}; of the sigmoid applied "
        f"{deepest} times {slopes['iterated'][deepest]:.1e}",
        "",
        f"gradient at the first step over that at the last, before and after {updates} steps of training, and the loss",
        f"then (a guess: {GUESS:.2f})",
        *table(header, rows),
        "",
        "gradient of an LSTM's cell state, 27 steps back, of which through cells alone (the product of forget gates)",
        *table(
            ["forget bias", "all paths", "through cells", "the others"],
            [[bias, *(f"{paths[bias][part][-1]:.1e}" for part in ("all", "cell", "rest"))] for bias in paths],
        ),
        "",
        f"an RNN with recurrent weights of norm {gain:g} is to remember for 5 steps, by SGD with a rate of 0.5:",
        *table(
            ["", "largest gradient", "loss in the end"],
            [[n, f"{exploded['largest_gradient'][n]:.0e}", f"{exploded['loss'][n]:.2f}"] for n in exploded["loss"]],
        ),
    ]
    numbers = {"slopes": slopes, "norms": norms, "first_over_last": reach, "losses": losses, "paths": paths}
    return Result(lines, {**numbers, "exploding": exploded}, _draw(norms, paths, exploded))


def gradient_norms(model: nn.Module, sequences: Tensor, labels: Tensor) -> list[float]:
    """Return the norm of the gradient of the loss by the input of each step, ``(L,)``, over the whole batch."""
    # where float32 ends, at 1e-45, there is more to be seen in float64
    sequences = sequences.double().requires_grad_()
    loss = F.cross_entropy(model.double()(sequences), labels)
    (gradient,) = torch.autograd.grad(loss, sequences)
    model.float()
    norms: list[float] = gradient.norm(dim=(0, 2)).clamp(min=1e-300).tolist()
    return norms


def _iterated(x: Tensor, times: int) -> Tensor:
    for _ in range(times):
        x = x.sigmoid()
    return x


def _slopes() -> dict[str, Any]:
    """Return the largest slopes of sigmoid and tanh, and of the sigmoid applied several times."""

    def largest(function: Any) -> float:
        x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(function(x).sum(), x)
        return float(slope.abs().max())

    return {
        "sigmoid": largest(torch.sigmoid),
        "tanh": largest(torch.tanh),
        "iterated": {times: largest(lambda x, times=times: _iterated(x, times)) for times in DEPTHS},
    }


def _paths(hidden_size: int, seed: int, length: int = 28) -> dict[str, dict[str, list[float]]]:
    """Split the gradient of the last cell state by earlier ones into the path through cells alone, and the rest.

    Returns:
        For each forget bias, norms by distance 1 to length - 1: of all paths, of the cells' alone, and of the others.
    """
    found = {}
    for bias in (0.0, 1.0, 5.0):
        torch.manual_seed(seed)
        layer = RowLSTM(MARKS, hidden_size, init="pytorch", forget_bias=bias).rnn.double()
        sequences, _ = draw(1, length, torch.Generator().manual_seed(seed))
        direction = torch.randn(hidden_size, dtype=torch.float64)
        ours = LSTM.like(layer)
        state = None
        cells, forgets = [], []
        for row in sequences.double().unbind(dim=1):
            trace = ours.trace(row.unsqueeze(1), state)  # one step at a time, so that each c can be differentiated by
            cells.append(trace.state[1].requires_grad_())
            forgets.append(trace.gates[0]["f"][0, 0])
            # h anew from this c, since it is by h that the other paths begin
            state = (trace.gates[0]["o"] * cells[-1].tanh(), cells[-1])
        all_paths = torch.autograd.grad((cells[-1][0, 0] * direction).sum(), cells[:-1])
        by_cells, product = [], direction
        for gate in reversed(forgets[1:]):
            product = product * gate.detach()
            by_cells.append(product)
        whole = [gradient[0, 0] for gradient in reversed(all_paths)]
        found[f"{bias:g}"] = {
            "all": [float(gradient.norm()) for gradient in whole],
            "cell": [float(gradient.norm()) for gradient in by_cells],
            "rest": [float((a - b).norm()) for a, b in zip(whole, by_cells, strict=True)],
        }
    return found


def _explode(hidden_size: int, gain: float, seed: int, length: int = 28, distance: int = 5) -> dict[str, Any]:
    """Train an RNN with large recurrent weights to remember for a few steps, with and without clipping."""
    losses: dict[str, list[float]] = {}
    largest: dict[str, float] = {}
    for name, limit in (("not clipped", math.inf), ("clipped", 1.0)):
        torch.manual_seed(seed)
        model = RowLSTM(MARKS, hidden_size, num_classes=MARKS, cell="rnn")
        with torch.no_grad():
            model.rnn.get_parameter("weight_hh_l0").mul_(gain)
        generator = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.SGD(model.parameters(), 0.5)
        losses[name], largest[name] = [], 0.0
        for _ in range(300):
            sequences, labels = draw(32, length, generator, place=length - 1 - distance)
            loss = F.cross_entropy(model(sequences), labels)
            optimiser.zero_grad()
            loss.backward()
            norm = float(nn.utils.clip_grad_norm_(model.parameters(), limit))  # before clipping
            largest[name] = max(largest[name], norm)
            optimiser.step()
            losses[name].append(loss.item())
    return {
        "largest_gradient": largest,
        "losses": losses,
        "loss": {name: statistics.fmean(curve[-20:]) for name, curve in losses.items()},
    }


def _draw(norms: dict[str, Any], paths: dict[str, Any], exploded: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(14, 8), layout="constrained")
    (squashed, before, after), (slopes, cells, exploding) = figure.subplots(2, 3)
    x = torch.linspace(-6, 6, 241)
    for times, style in zip(DEPTHS, ("-", "--", "-.", ":"), strict=True):
        squashed.plot(x, _iterated(x, times), style, color=BLUE, label=f"{times} time{'s' if times > 1 else ''}")
    squashed.set(title="the sigmoid, applied again and again", xlabel="x")
    slopes.plot(x, torch.sigmoid(x) * (1 - torch.sigmoid(x)), "-", color=BLUE, label="sigmoid: at most 1/4")
    slopes.plot(x, 1 - torch.tanh(x) ** 2, "--", color=ORANGE, label="tanh: at most 1")
    slopes.set(title="slopes", xlabel="x")
    for axis, when in ((before, "before"), (after, "after")):
        for name, (colour, style) in LOOKS.items():
            _by_distance(axis, norms[when][name][100], style, colour, name)
        axis.set(title=f"gradient by distance, 100 steps, {when} training", yscale="log", xlabel="steps from the end")
        axis.set_ylim(1e-18, 10)
    for (bias, of), colour in zip(paths.items(), (PINK, BLUE, ORANGE), strict=True):
        distance = range(1, len(of["cell"]) + 1)
        cells.plot(distance, of["cell"], "-", color=colour, label=f"forget bias {bias}: through cells")
        cells.plot(distance, of["rest"], ":", color=colour, label="all other paths")
    cells.set(title="gradient of the cell state by its past", yscale="log", xlabel="steps back", ylim=(1e-8, 100))
    for (name, curve), colour, style in zip(exploded["losses"].items(), (PINK, BLUE), (":", "-"), strict=True):
        exploding.plot(range(1, len(curve) + 1), curve, style, color=colour, label=name)
    exploding.set(title="an RNN whose gradients explode", xlabel="step of training", ylabel="loss", yscale="log")
    for axis in (squashed, before, after, slopes, cells, exploding):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def _by_distance(axis: Axes, norms: list[float], style: str, colour: str, name: str) -> None:
    axis.plot(range(len(norms)), list(reversed(norms)), style, color=colour, label=name)
