"""Back-propagation through time by hand: one row of one digit as a sheet of numbers, forward and back.

The LSTM reads a digit of 4x4 pixels row by row. For each row x, with h' and c' from the row before (s is the logistic
sigmoid, * the element-wise product):

    z_k = W_k x + U_k h' + b_k    for k = i, f, g, o
    i = s(z_i), f = s(z_f), g = tanh(z_g), o = s(z_o)
    c = f * c' + i * g
    h = o * tanh(c)

After the last row a linear layer gives the logits, V h + a, and the loss is the cross-entropy of the digit's class. To
learn, the network needs the derivative of the loss by each weight. Write dv for the derivative of the loss by v. At the
last row dh = V^T (p - y): the probabilities p less a vector y that is 1 for the true class and 0 for all others. From
there the chain rule goes back row by row. At each row above, dh and dc are what the row below sends; at the last row no
dc arrives, it is 0:

    dc = dc + dh * o * (1 - tanh(c)^2)    the cell state is seen in h as well
    do = dh * tanh(c)                     dz_o = do * o * (1 - o)
    di = dc * g                           dz_i = di * i * (1 - i)
    df = dc * c'                          dz_f = df * f * (1 - f)
    dg = dc * i                           dz_g = dg * (1 - g^2)
    dh' = sum over k of U_k^T dz_k        goes to the row above
    dc' = dc * f                          goes to the row above

s(z) has the slope s(z) (1 - s(z)), and tanh(z) the slope 1 - tanh(z)^2: hence the last factors. The weights are the
same at every row, so each row adds its share to their derivatives: dz_k x^T to dW_k, dz_k h'^T to dU_k, dz_k to db_k.

Two ways lead from row to row: through h, with a matrix U and the slopes of all gates at each row; and through c, where
the only factor is the forget gate f. The lesson prints all numbers of one row, and compares every derivative with
PyTorch's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.options import Count, Row, Size, Which
from mnist_lstm.network.cells import by_equations
from mnist_lstm.plots.style import DIVERGING, ORANGE

SIDE = 4  # pixels of the reduced digit
MARGIN = 4  # pixels around a digit in MNIST's form
GATES = "ifgo"  # in the order of PyTorch's weights
FORWARD = ("i", "f", "g", "o", "c", "h")
BACKWARD = ("dh", "dc", "do", "di", "df", "dg", "dz_i", "dz_f", "dz_g", "dz_o", "dh'", "dc'")

Values = npt.NDArray[np.float64]
Named = dict[str, Values]


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        digit: Which of scikit-learn's 1,797 digits, from 0.
        row: The row whose numbers are printed, from 1 to 4.
        hidden_size: Units of the LSTM.
        seeds: Number of networks whose derivatives are compared with PyTorch's; the first one is printed.
    """

    digit: Which = 4
    row: Row = 3
    hidden_size: Size = 2
    seeds: Count = 5


def run(options: Options) -> Result:
    """Print one row's numbers, and compare all derivatives with PyTorch's."""
    images, labels = load_sklearn_digits()
    inner = images[options.digit, MARGIN:-MARGIN, MARGIN:-MARGIN]
    block = len(inner) // SIDE
    rows = inner.reshape(SIDE, block, SIDE, block).mean(axis=(1, 3)) / 255  # (SIDE, SIDE)
    label = int(labels[options.digit])
    checks = [check(rows, label, options.hidden_size, seed) for seed in range(options.seeds)]
    layer, head = networks(options.hidden_size, 0)
    weights = read_weights(layer, head)
    steps = forward(rows, weights)
    back, _, loss = backward(rows, label, steps, weights)
    at = options.row - 1
    units = [f"unit {unit + 1}" for unit in range(options.hidden_size)]
    lines = [
        f"a {label} of {SIDE}x{SIDE} pixels; row {options.row}: {_numbers(rows[at], '.2f')}; loss {loss:.4f}",
        "",
        *table(["forward", *units], [[name, *_texts(steps[at][name])] for name in ("h'", "c'", *FORWARD)]),
        "",
        *table(["back", *units], [[name, *_texts(back[at][name])] for name in BACKWARD]),
        "",
        f"largest difference from PyTorch's derivatives, {options.seeds} networks: {spread(checks, '.0e')}",
    ]
    numbers = {
        "image": rows.tolist(),
        "label": label,
        "loss": loss,
        "forward": [{name: values.tolist() for name, values in step.items()} for step in steps],
        "backward": [{name: values.tolist() for name, values in step.items()} for step in back],
        "differences": checks,
    }
    measures = [Measure("largest relative difference from PyTorch's derivatives", checks, ".0e")]
    return Result(lines, numbers, _draw(rows, at, steps, back), measures=measures)


def networks(hidden_size: int, seed: int) -> tuple[nn.LSTM, nn.Linear]:
    """Return an LSTM for rows of `SIDE` pixels and a linear layer, both in float64."""
    torch.manual_seed(seed)
    return nn.LSTM(SIDE, hidden_size).double(), nn.Linear(hidden_size, len(CLASS_NAMES)).double()


def read_weights(layer: nn.LSTM, head: nn.Linear) -> Named:
    """Return the weights by the names in the equations: W_i ``(H, 4)``, U_i ``(H, H)``, b_i ``(H,)``, ..., V, a."""
    parts = {name: weight.detach().numpy() for name, weight in layer.named_parameters()}
    biases = parts["bias_ih_l0"] + parts["bias_hh_l0"]
    named: Named = {"V": head.weight.detach().numpy(), "a": head.bias.detach().numpy()}
    for letter, stacked in (("W", parts["weight_ih_l0"]), ("U", parts["weight_hh_l0"]), ("b", biases)):
        named |= {f"{letter}_{gate}": part for gate, part in zip(GATES, np.split(stacked, len(GATES)), strict=True)}
    return named


def forward(rows: Values, weights: Named) -> list[Named]:
    """Read rows ``(L, 4)``; return for each the values of the units ``(H,)`` by their names in the equations."""
    h = c = np.zeros_like(weights["b_i"])
    steps = []
    for x in rows:
        step = {"h'": h, "c'": c}
        for gate in GATES:
            z = weights[f"W_{gate}"] @ x + weights[f"U_{gate}"] @ h + weights[f"b_{gate}"]
            step[gate] = np.tanh(z) if gate == "g" else 1 / (1 + np.exp(-z))
        c = step["f"] * c + step["i"] * step["g"]
        h = step["o"] * np.tanh(c)
        steps.append(step | {"c": c, "h": h})
    return steps


def backward(rows: Values, label: int, steps: list[Named], weights: Named) -> tuple[list[Named], Named, float]:
    """Go back from the loss.

    Returns:
        For each row the derivatives ``(H,)`` by their names in the equations, the derivatives of the weights by the
        weights' names, and the loss.
    """
    logits = weights["V"] @ steps[-1]["h"] + weights["a"]
    p = np.exp(logits - logits.max())
    p /= p.sum()
    error = p - np.eye(len(p))[label]
    gradients = {name: np.zeros_like(weight) for name, weight in weights.items()}
    gradients |= {"V": np.outer(error, steps[-1]["h"]), "a": error}
    dh, dc = weights["V"].T @ error, np.zeros_like(weights["b_i"])
    back: list[Named] = []
    for x, v in zip(rows[::-1], reversed(steps), strict=True):
        dc = dc + dh * v["o"] * (1 - np.tanh(v["c"]) ** 2)
        d = {"dh": dh, "dc": dc, "do": dh * np.tanh(v["c"]), "di": dc * v["g"], "df": dc * v["c'"], "dg": dc * v["i"]}
        for gate in GATES:
            slope = 1 - v["g"] ** 2 if gate == "g" else v[gate] * (1 - v[gate])
            dz = d[f"dz_{gate}"] = d[f"d{gate}"] * slope
            gradients[f"W_{gate}"] += np.outer(dz, x)
            gradients[f"U_{gate}"] += np.outer(dz, v["h'"])
            gradients[f"b_{gate}"] += dz
        dh = d["dh'"] = np.sum([weights[f"U_{gate}"].T @ d[f"dz_{gate}"] for gate in GATES], axis=0)
        dc = d["dc'"] = dc * v["f"]
        back.insert(0, d)
    return back, gradients, float(-np.log(p[label]))


def check(rows: Values, label: int, hidden_size: int, seed: int) -> float:
    """Return the largest difference from PyTorch's values and derivatives, as a share of the largest of their kind."""
    layer, head = networks(hidden_size, seed)
    weights = read_weights(layer, head)
    steps = forward(rows, weights)
    _, gradients, _ = backward(rows, label, steps, weights)
    _, _, (gates,) = by_equations(layer).trace(torch.tensor(rows))
    differences = [_difference([step[name] for step in steps], gates[name].detach()) for name in FORWARD]
    F.cross_entropy(head(layer(torch.tensor(rows))[0][-1]), torch.tensor(label)).backward()
    theirs = dict(layer.named_parameters())
    for letter, name in (("W", "weight_ih_l0"), ("U", "weight_hh_l0"), ("b", "bias_ih_l0")):
        ours = np.concatenate([gradients[f"{letter}_{gate}"] for gate in GATES])
        differences.append(_difference(ours, theirs[name].grad))
    differences += [_difference(gradients["V"], head.weight.grad), _difference(gradients["a"], head.bias.grad)]
    return max(differences)


def _difference(ours: Values | Sequence[Values], theirs: Tensor | None) -> float:
    if theirs is None:
        raise TypeError("a weight without a gradient")
    return float(np.abs(np.asarray(ours) - theirs.numpy()).max() / theirs.abs().max())


def _texts(values: Values, style: str = "+.4f") -> list[str]:
    return [format(value, style) for value in values.tolist()]


def _numbers(values: Values, style: str) -> str:
    return ", ".join(_texts(values, style))


def _draw(rows: Values, at: int, steps: list[Named], back: list[Named]) -> Figure:
    """Draw the digit, and the values and derivatives of every row: above them those of the printed row as numbers."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    picture, values, derivatives = figure.subplots(1, 3, width_ratios=[1, 2.2, 2.2])
    picture.imshow(rows, cmap="gray_r", vmin=0, vmax=1)
    picture.axhspan(at - 0.5, at + 0.5, fill=False, edgecolor=ORANGE, linewidth=2)
    picture.set(title="the digit", ylabel="row", xticks=[], yticks=range(SIDE), yticklabels=range(1, SIDE + 1))
    _sheet(values, [np.array([step[name] for step in steps]) for name in FORWARD], FORWARD, at)
    values.set_title("forward: rows from the top")
    shown = ("dh", "dc", *(f"dz_{gate}" for gate in GATES))
    _sheet(derivatives, [1000 * np.array([step[name] for step in back]) for name in shown], shown, at)
    derivatives.set_title("back, in thousandths: rows from the bottom")
    return figure


def _sheet(axis: Axes, columns: list[Values], names: Sequence[str], at: int) -> None:
    """Draw values ``(L, H)`` in a column for each name: rows down, units beside each other, with their numbers."""
    units = columns[0].shape[1]
    values = np.concatenate(columns, axis=1)
    limit = float(np.abs(values).max()) or 1.0
    decimals = 1 if limit > 10 else 2
    axis.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    if units <= 2:
        for (row, column), value in np.ndenumerate(values):
            dark = abs(value) > 0.7 * limit
            axis.text(
                column, row, f"{value:.{decimals}f}", ha="center", va="center", fontsize=8, color="w" if dark else "k"
            )
    axis.axhspan(at - 0.5, at + 0.5, fill=False, edgecolor=ORANGE, linewidth=2)
    for edge in range(1, len(names)):
        axis.axvline(edge * units - 0.5, color="0.6", linewidth=1)
    axis.set_xticks([index * units + (units - 1) / 2 for index in range(len(names))], names)
    axis.set_yticks(range(len(values)), [str(row + 1) for row in range(len(values))])
    axis.set_ylabel("row")
