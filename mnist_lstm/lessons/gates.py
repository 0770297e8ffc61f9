"""What the gates of an LSTM do, followed on one unit with numbers in the head.

A cell computes from its input x, and from h' and c' of the step before,

    i, f, o = sigmoid(...)    three gates between 0 and 1: input, forget, output
    g = tanh(...)             the candidate, what is new
    c = f * c' + i * g        the cell state
    h = o * tanh(c)           the hidden state

so that f = 0 and i = 1 write the candidate over the memory, f = 1 and i = 0 keep it as it is, f = 1 and i = 1 add to
it, f = 0 and i = 0 clear it, and o says whether anybody sees it. Here the weights are set by hand, so that every gate
is opened or shut by a number of the input.

It is often said that LSTMs stay within -1 and 1. That is so for h, a product of two numbers below 1. It is not so for
c: f = 1 and i = 1 let it grow by up to 1 a step for as long as they last. That is how a unit counts.

Hochreiter & Schmidhuber 1997, "Long short-term memory"; the forget gate: Gers, Schmidhuber & Cummins 2000, "Learning to
forget".
"""

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.explain.cells import Gates, by_equations
from mnist_lstm.figures import BLUE, GREEN, ORANGE
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.options import Rate

PROGRAM = [
    # what is wanted, value that comes in, write, keep, show
    ("write", 1.0, 1, 0, 1),
    ("keep", -2.0, 0, 1, 1),
    ("keep", 3.0, 0, 1, 1),
    ("keep, hidden", 0.5, 0, 1, 0),
    ("keep", -1.0, 0, 1, 1),
    ("overwrite", -1.0, 1, 0, 1),
    ("add", 2.0, 1, 1, 1),
    ("add", 2.0, 1, 1, 1),
    ("add", 2.0, 1, 1, 1),
    ("add", 2.0, 1, 1, 1),
    ("add", 2.0, 1, 1, 1),
    ("clear", 1.0, 0, 0, 1),
]


def run(firmness: Rate = 20.0) -> Result:
    """Follow one unit.

    Args:
        firmness: What goes into a gate to open it, and less this to shut it. At 20 a gate is open but for 2e-9, at 2
            it leaks 12 % each step.
    """
    steps = torch.tensor([line[1:] for line in PROGRAM], dtype=torch.float64)  # (L, 4)
    with torch.no_grad():
        of = {name: values[:, 0] for name, values in _follow(steps, firmness).items()}  # (L,) each
    header = ["step", "value in", "i", "f", "g", "o", "c", "h"]
    rows = [
        [line[0], f"{line[1]:g}", *(f"{of[name][step]:.4f}" for name in "ifgoch")] for step, line in enumerate(PROGRAM)
    ]
    written, kept = float(of["c"][0]), float(of["c"][4])
    lines = [
        *table(header, rows),
        "",
        f"f = 0, i = 1 write:  c became {written:.4f}, and g = tanh(1) was {float(of['g'][0]):.4f}",
        f"f = 1, i = 0 keep:   after four more steps, whatever came in, c differs by {abs(kept - written):.1e}",
        f"h stays within -1 and 1: its largest is {float(of['h'].abs().max()):.4f}",
        f"c need not: its largest is {float(of['c'].abs().max()):.4f}",
    ]
    numbers = {
        "steps": [line[0] for line in PROGRAM],
        **{name: of[name].tolist() for name in "ifgoch"},
        "kept_within": abs(kept - written),
        "largest_h": float(of["h"].abs().max()),
        "largest_c": float(of["c"].abs().max()),
    }
    return Result(lines, numbers, _draw(of))


def _follow(steps: Tensor, firmness: float) -> Gates:
    """Run an LSTM of one unit, whose input is (value, write, keep, show)."""
    layer = nn.LSTM(4, 1).double()
    # PyTorch's order of the rows: i, f, g, o; an input of 0 makes -firmness, and 1 makes +firmness
    opened = 2 * firmness
    weights = {name: torch.zeros_like(weight) for name, weight in layer.named_parameters()}
    weights["weight_ih_l0"] += torch.tensor([[0, opened, 0, 0], [0, 0, opened, 0], [1, 0, 0, 0], [0, 0, 0, opened]])
    weights["bias_ih_l0"] += torch.tensor([-firmness, -firmness, 0, -firmness])
    layer.load_state_dict(weights)
    return by_equations(layer).trace(steps).gates[0]


def _draw(of: dict[str, Tensor]) -> Figure:
    figure = Figure(figsize=(10, 6), layout="constrained")
    gates, states = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.6])
    for offset, (name, text, colour) in enumerate(
        (("i", "input gate i", BLUE), ("f", "forget gate f", ORANGE), ("o", "output gate o", GREEN))
    ):
        places = torch.arange(len(PROGRAM)) + 0.27 * (offset - 1)
        gates.bar(places.tolist(), of[name].tolist(), 0.25, color=colour, label=text)
    gates.set(ylabel="open", title="one unit, its gates opened and shut by hand")
    gates.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.12))
    states.axhspan(-1, 1, color="0.92")
    states.text(-0.45, -0.9, "between -1 and 1", color="0.4", fontsize=9)
    states.plot(of["c"].tolist(), "o-", color=ORANGE, label="cell state c: the memory")
    states.plot(of["h"].tolist(), "s--", color=BLUE, label="hidden state h: what is shown of it")
    states.set_xticks(range(len(PROGRAM)), [line[0].replace(", ", ",\n") for line in PROGRAM])
    states.grid(alpha=0.3)
    states.legend()
    return figure
