"""What the gates of an LSTM do: one unit, its weights set by hand, step by step.

From its input x and the states h' and c' of the step before, an LSTM computes

    i, f, o = sigmoid(...)    three gates between 0 and 1: input, forget, output
    g = tanh(...)             the candidate, the new value
    c = f * c' + i * g        the cell state
    h = o * tanh(c)           the hidden state

where each of the four stands for W x + U h' + b with weights of its own, and sigmoid(z) = 1 / (1 + e^-z) turns any z,
the logit, into a number p between 0 and 1; the way back is z = ln(p / (1 - p)).

So f = 0 and i = 1 overwrite the cell state with the candidate, f = 1 and i = 0 keep it, f = 1 and i = 1 add to it,
f = 0 and i = 0 clear it, and o decides whether it is visible outside. Here one value of the input opens or closes each
gate.

A student before and in an exam does the same:

    forget gate   yesterday's exam was in physics, today's is in history: physics may go, history stays
    input gate    of a long question, take in what the answer needs, and leave the rest on the page
    output gate   write down only what is asked; whatever else is known remains unsaid, and known

It is often said that the states of an LSTM stay between -1 and 1. This is true of h, a product of two numbers below 1.
It is not true of c: with f = 1 and i = 1 it can grow by up to 1 per step. That is how a unit counts.

It is also said that f = 0 makes a unit forget all that was before. It clears c' alone. The candidate, like the gates,
reads h' as well as x: g = tanh(W x + U h'). With U = 0, as in the program below, f = 0 and i = 1 indeed leave nothing
of the past. With U = 1, two pasts that differ still end in two different states.

Hochreiter & Schmidhuber 1997, "Long short-term memory"; forget gate: Gers, Schmidhuber & Cummins 2000, "Learning to
forget".
"""

from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.lessons import Measure, Result, table
from mnist_lstm.lessons.options import Rate
from mnist_lstm.network.cells import Gates, by_equations
from mnist_lstm.plots.style import BLUE, GREEN, ORANGE, finish

PROGRAM = [
    # name, value, write, keep, show
    ("write", 1.0, 1, 0, 1),
    ("keep", -2.0, 0, 1, 1),
    ("keep", 3.0, 0, 1, 1),
    ("keep, hidden", 0.5, 0, 1, 0),
    ("keep", -1.0, 0, 1, 1),
    ("overwrite", -1.0, 1, 0, 1),
    *[("add", 2.0, 1, 1, 1)] * 5,
    ("clear", 1.0, 0, 0, 1),
]

PASTS, NEW = (1.0, -1.0), 0.5  # inputs of a second experiment: one of two pasts, then a new value that overwrites it


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        firmness: Gate logit: the input of the sigmoid is +firmness for an open gate and -firmness for a closed one. At
            20 a gate is within 3e-9 of 0 or 1, at 2 it leaks 12 % per step.
    """

    firmness: Rate = 20.0


def run(options: Options) -> Result:
    """Run one unit through the program."""
    steps = torch.tensor([line[1:] for line in PROGRAM], dtype=torch.float64)  # (L, 4)
    with torch.no_grad():
        traced = {name: values[:, 0] for name, values in _trace(steps, options.firmness).items()}  # (L,) each
        after = {u: _overwrite_two_pasts(float(u), options.firmness) for u in (0, 1)}
    rows = [
        [line[0], f"{line[1]:g}", *(f"{traced[name][step]:.4f}" for name in "ifgoch")]
        for step, line in enumerate(PROGRAM)
    ]
    written, drift = float(traced["c"][0]), abs(float(traced["c"][4] - traced["c"][0]))
    largest = {name: float(traced[name].abs().max()) for name in "hc"}
    lines = [
        *table(["step", "input", "i", "f", "g", "o", "c", "h"], rows),
        "",
        f"write (f = 0, i = 1): c becomes {written:.4f}; g = tanh(1) is {float(traced['g'][0]):.4f}",
        f"keep (f = 1, i = 0): after four more steps of any input, c has changed by {drift:.1e}",
        f"h is bounded by -1 and 1: its largest absolute value is {largest['h']:.4f}",
        f"c is not: its largest absolute value is {largest['c']:.4f}",
        "",
        f"c after an input of {PASTS[0]:g} or {PASTS[1]:g}, and then {NEW:g} with f = 0, i = 1:",
        *(f"    candidate with U = {u}: {c[0]:.4f} or {c[1]:.4f}" for u, c in after.items()),
    ]
    numbers: dict[str, Any] = {name: traced[name].tolist() for name in "ifgoch"}
    numbers |= {"steps": [line[0] for line in PROGRAM], "change_while_kept": drift}
    numbers |= {f"largest_{name}": value for name, value in largest.items()}
    numbers |= {"c_overwritten_after_two_pasts": {str(u): c for u, c in after.items()}}
    measures = [
        Measure("c after writing 1 (f = 0, i = 1)", [written], ".4f"),
        Measure("change of c in four steps of keeping (f = 1, i = 0)", [drift], ".0e"),
        *(Measure(f"largest |{name}|", [value], ".4f") for name, value in largest.items()),
        *(
            Measure(f"difference that the past makes to an overwritten c, U = {u}", [abs(c[0] - c[1])])
            for u, c in after.items()
        ),
    ]
    return Result(lines, numbers, _draw(traced), measures=measures)


def _overwrite_two_pasts(u: float, logit: float) -> list[float]:
    """Return c after each of two inputs was overwritten by the same new one; ``u`` is the candidate's U."""
    pasts = [torch.tensor([[past, 1, 0, 1], [NEW, 1, 0, 1]], dtype=torch.float64) for past in PASTS]
    return [float(_trace(steps, logit, u)["c"][-1]) for steps in pasts]


def _trace(steps: Tensor, logit: float, u: float = 0.0) -> Gates:
    """Run an LSTM of one unit whose inputs are (value, write, keep, show), and whose candidate reads u h'."""
    layer = nn.LSTM(4, 1).double()
    # rows in PyTorch's order i, f, g, o; the bias closes a gate, an input of 1 opens it
    weights = {name: torch.zeros_like(weight) for name, weight in layer.named_parameters()}
    open_ = 2 * logit
    weights["weight_ih_l0"] += torch.tensor([[0, open_, 0, 0], [0, 0, open_, 0], [1, 0, 0, 0], [0, 0, 0, open_]])
    weights["bias_ih_l0"] += torch.tensor([-logit, -logit, 0, -logit])
    weights["weight_hh_l0"][2] = u
    layer.load_state_dict(weights)
    return by_equations(layer).trace(steps).gates[0]


def _draw(traced: dict[str, Tensor]) -> Figure:
    figure = Figure(figsize=(10, 6), layout="constrained")
    gates, states = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.6])
    names = (("i", "input gate i", BLUE), ("f", "forget gate f", ORANGE), ("o", "output gate o", GREEN))
    for offset, (name, label, colour) in enumerate(names):
        places = torch.arange(len(PROGRAM)) + 0.27 * (offset - 1)
        gates.bar(places.tolist(), traced[name].tolist(), 0.25, color=colour, label=label)
    gates.set(ylabel="gate", title="one unit with gates set by hand")
    gates.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.12))
    states.axhspan(-1, 1, color="0.92")
    states.text(-0.45, -0.9, "between -1 and 1", color="0.4", fontsize=9)
    states.plot(traced["c"].tolist(), "o-", color=ORANGE, label="cell state c (memory)")
    states.plot(traced["h"].tolist(), "s--", color=BLUE, label="hidden state h (output)")
    states.set_xticks(range(len(PROGRAM)), [line[0].replace(", ", ",\n") for line in PROGRAM])
    finish(states)
    return figure
