"""Gate surgery: what a trained LSTM can still read with a gate held still, or with the memory of another digit.

A heat map of gates shows what they do, not what they are for. So we interfere. Each network reads the validation digits
row by row, by the equations of `mnist_lstm/network/cells.py`, while one of its gates is held:

    as it was   at the values that it had: nothing may change, which tests the surgery itself
    open        at 1 in every unit at every row
    closed      at 0
    still       at each unit's own mean over all rows and digits: the gate no longer looks at the input

"Still" against "as it was" is what the gate's decisions are worth, apart from its usual opening.

Then memories are exchanged. Two different digits are read as far as row k; there they swap the cell state c, or the
hidden state h, or both, and read on, each its own rows. Whose class is answered at the end? What follows c shows where
the memory of the rows so far is kept, and from which row on the rest of the digit can no longer overrule it. (Of the
hidden state alone nearly nothing follows: the next row's h is made of the own c again.)
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim import Adam

from mnist_lstm.console import track
from mnist_lstm.data.format import SIZE
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import batches, load_train_and_val, train_step
from mnist_lstm.lessons.options import Count, DigitOptions
from mnist_lstm.network.cells import Gates
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, draw_band

READ = 500  # validation digits
HOLDS = ("as it was", "open", "closed", "still")
SWAPS = {"c": "the cell state c", "h": "the hidden state h", "ch": "both"}
ROWS = (4, 8, 12, 16, 20, 24, 27)  # after which states are swapped

Change = Callable[[int, Gates], Gates]  # of row, from 0, and i, f, g, o of it, each (N, H)


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        seeds: Number of networks.
    """

    seeds: Count = 5


QUICK = {"seeds": 2, "updates": 200}


def run(options: Options) -> Result:
    """Hold gates and swap states in several trained networks."""
    train, val, data = load_train_and_val(options)
    images, labels = val[0][:READ], val[1][:READ]
    held: dict[str, list[float]] = {f"{gate} {hold}": [] for gate in "ifo" for hold in HOLDS}
    own: dict[str, list[list[float]]] = {swap: [] for swap in SWAPS}
    other: dict[str, list[list[float]]] = {swap: [] for swap in SWAPS}
    whole, differences = [], []
    for seed in range(options.seeds):
        model = train_one(options, train, seed)
        with torch.inference_mode():
            logits, gates, _ = read(model, images)
            whole.append(_accuracy(logits, labels))
            differences.append(float((logits - model(images)).abs().max()))
            for name, values in held.items():
                gate, hold = name.split(" ", 1)
                values.append(_accuracy(read(model, images, holding(gate, hold, gates))[0], labels))
            for swap in SWAPS:
                mine, theirs = swapped(model, images, labels, swap)
                own[swap].append(mine)
                other[swap].append(theirs)
    return _result(data, options, whole, differences, held, own, other)


def train_one(options: Options, train: tuple[Tensor, Tensor], seed: int) -> RowLSTM:
    """Train an LSTM of one layer and one direction."""
    torch.manual_seed(seed)
    model = RowLSTM(hidden_size=options.hidden_size, bidirectional=False)
    optimizer = Adam(model.parameters(), options.learning_rate)
    for index in track(
        batches(len(train[1]), options.updates, options.batch_size, seed), f"training network {seed + 1}"
    ):
        train_step(model, optimizer, train[0][index], train[1][index])
    return model.eval()


def read(
    model: RowLSTM,
    images: Tensor,
    change: Change | None = None,
    swap_after: int = 0,
    swap: str = "",
    partners: Tensor | None = None,
) -> tuple[Tensor, Gates, Tensor]:
    """Read images ``(N, 28, 28)`` by the equations of an LSTM.

    Args:
        model: of one LSTM layer in one direction.
        images: normalised.
        change: what is done to the gates of a row.
        swap_after: number of rows after which the states named in ``swap``, c and h, are those of the partners.
        swap: any of c and h.
        partners: index of each image's partner ``(N,)``.

    Returns:
        Logits ``(N, 10)``; the gates i, f, g, o at each row ``(28, N, H)``; the last cell state ``(N, H)``.
    """
    weights = dict(model.rnn.named_parameters())
    inputs = images @ weights["weight_ih_l0"].T + weights["bias_ih_l0"] + weights["bias_hh_l0"]  # (N, 28, 4 H)
    h = c = images.new_zeros(len(images), model.rnn.hidden_size)
    seen: dict[str, list[Tensor]] = {gate: [] for gate in "ifgo"}
    for row in range(images.shape[1]):
        i, f, g, o = (inputs[:, row] + h @ weights["weight_hh_l0"].T).chunk(4, dim=1)
        gates = {"i": i.sigmoid(), "f": f.sigmoid(), "g": g.tanh(), "o": o.sigmoid()}
        if change is not None:
            gates = change(row, gates)
        for gate, values in gates.items():
            seen[gate].append(values)
        c = gates["f"] * c + gates["i"] * gates["g"]
        h = gates["o"] * c.tanh()
        if partners is not None and row + 1 == swap_after:
            c, h = (c[partners] if "c" in swap else c), (h[partners] if "h" in swap else h)
    return model.head(h), {gate: torch.stack(values) for gate, values in seen.items()}, c


def holding(gate: str, hold: str, recorded: Gates) -> Change:
    """Return the change that holds a gate: one of `HOLDS`; ``recorded`` are the gates ``(28, N, H)`` of a reading."""
    still = recorded[gate].mean(dim=(0, 1))

    def change(row: int, gates: Gates) -> Gates:
        values = {
            "as it was": recorded[gate][row],
            "open": torch.ones_like(gates[gate]),
            "closed": torch.zeros_like(gates[gate]),
            "still": still.expand_as(gates[gate]),
        }
        return gates | {gate: values[hold]}

    return change


def swapped(model: RowLSTM, images: Tensor, labels: Tensor, swap: str) -> tuple[list[float], list[float]]:
    """Return how often the answer is the own class, and the partner's, by the rows in `ROWS` after which they swap."""
    partners = torch.arange(len(labels)).roll(1)
    differ = labels != labels[partners]
    own, other = [], []
    for row in ROWS:
        answers = read(model, images, swap_after=row, swap=swap, partners=partners)[0].argmax(dim=1)[differ]
        own.append(float((answers == labels[differ]).double().mean()))
        other.append(float((answers == labels[partners][differ]).double().mean()))
    return own, other


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(dim=1) == labels).double().mean())


def _result(
    data: str,
    options: Options,
    whole: list[float],
    differences: list[float],
    held: dict[str, list[float]],
    own: dict[str, list[list[float]]],
    other: dict[str, list[list[float]]],
) -> Result:
    names = {"i": "input gate i", "f": "forget gate f", "o": "output gate o"}
    rows = [[names[gate], *(spread(held[f"{gate} {hold}"], ".1%") for hold in HOLDS)] for gate in names]
    lines = [
        data,
        f"{options.seeds} networks of {options.hidden_size} units, {options.updates} updates; {READ} validation digits",
        "",
        f"accuracy {spread(whole, '.1%')}; with a gate held:",
        *table(["", *HOLDS], rows),
        "",
        "answers that are the class of the digit whose states were taken over, by the row after which they were:",
        *table(
            ["swapped", *map(str, ROWS)],
            [
                [name, *(f"{statistics.median(run[k] for run in other[swap]):.0%}" for k in range(len(ROWS)))]
                for swap, name in SWAPS.items()
            ],
        ),
        "",
        *(f"{name}: half of the answers or more from {_from_half(other[swap])} on" for swap, name in SWAPS.items()),
    ]
    numbers = {
        "accuracy": whole,
        "difference_from_nn_lstm": differences,
        "held": held,
        "rows": list(ROWS),
        "own_class": own,
        "partners_class": other,
    }
    measures = [
        Measure("accuracy", whole, ".1%"),
        *(Measure(f"accuracy, {names[gate]} held still", held[f"{gate} still"], ".1%") for gate in names),
        *(
            Measure(
                f"other digit's class answered, its {swap} after {row} rows",
                [run[ROWS.index(row)] for run in other[swap]],
                ".0%",
            )
            for swap, row in (("c", 20), ("c", 27), ("h", 27))
        ),
    ]
    return Result(lines, numbers, _draw(held, whole, own, other), measures=measures)


def _from_half(shares: list[list[float]]) -> str:
    """Return from which of `ROWS` on the median of the networks' shares is at least a half."""
    medians = (statistics.median(run[k] for run in shares) for k in range(len(ROWS)))
    return next((f"row {row}" for row, share in zip(ROWS, medians, strict=True) if share >= 0.5), "no row")


def _draw(
    held: dict[str, list[float]], whole: list[float], own: dict[str, list[list[float]]],
    other: dict[str, list[list[float]]],
) -> Figure:  # fmt: skip
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    bars, *axes = figure.subplots(1, 4, width_ratios=[1.6, 1, 1, 1])
    for place, (gate, (colour, _)) in enumerate(zip("ifo", CURVES, strict=False)):
        for offset, hold in enumerate(HOLDS):
            values = held[f"{gate} {hold}"]
            bars.scatter([4.6 * place + offset] * len(values), values, color=colour, s=18, alpha=0.7)
    bars.axhline(sum(whole) / len(whole), color="0.5", linewidth=1, label="no gate held")
    bars.legend(loc="lower right", fontsize=8)
    ticks = [4.6 * place + offset for place in range(3) for offset in range(len(HOLDS))]
    bars.set_xticks(ticks, [f"{gate} {hold}" for gate in "ifo" for hold in HOLDS], rotation=60, ha="right", fontsize=8)
    bars.set(ylim=(0, 1.02), ylabel="validation accuracy", title="a gate held: one dot per network")
    bars.grid(alpha=0.3, axis="y")
    for axis, (swap, name) in zip(axes, SWAPS.items(), strict=True):
        for label, shares, curve in (("own class", own, CURVES[1]), ("partner's class", other, CURVES[0])):
            draw_band(axis, ROWS, shares[swap], curve, label=label)
        axis.set(title=f"swapped: {name}", xlabel="after row", ylim=(0, 1.02), xlim=(0, SIZE))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share of answers")
    axes[1].legend(loc="center")  # where h alone is swapped, the curves lie at the top and the bottom
    return figure
