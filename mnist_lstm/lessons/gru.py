"""What makes an LSTM a GRU: four changes, the last of which gives `nn.GRU` exactly, and the one that costs counting.

Tutorials say that a GRU is an LSTM without an output gate. Both have three blocks of weights then, and yet they differ.
An LSTM whose output gate is held at 1, and a GRU, in the notation of `mnist_lstm/network/cells.py` (s is the logistic
sigmoid, * the element-wise product, and h' and c' are the states of the step before):

    i = s(W_i x + b_i + U_i h' + d_i)           r = s(W_r x + b_r + U_r h' + d_r)
    f = s(W_f x + b_f + U_f h' + d_f)           z = s(W_z x + b_z + U_z h' + d_z)
    g = tanh(W_g x + b_g + U_g h' + d_g)        n = tanh(W_n x + b_n + r * (U_n h' + d_n))
    c = f * c' + i * g,    h = tanh(c)          h = (1 - z) * n + z * h'

Read the GRU's blocks r, z, n as an LSTM's i, f, g, and change one thing after the other:

    couple the gates        i = 1 - f: what is written is taken from what is kept; the block of i has nothing to do
    show c                  the output is c and not tanh(c)
    read c                  gates and candidate read c' and not tanh(c')
    add a reset gate        with the unused block: r multiplies U h' + d in the candidate

After the fourth, the outputs are those of `nn.GRU` to 1e-12. Leave out any one and they differ by more than 0.01.

The first change is the one that matters. (1 - z) * n + z * h' lies between n and h', so a GRU that starts within -1 and
1 stays there, whatever its weights. An LSTM can add, with f = i = 1: ten marks, c = 10. Weiss, Goldberg & Yahav 2018
("On the practical computational power of finite precision RNNs for language recognition") show that LSTMs can count and
that GRUs, with finite precision, cannot.

Counting. A sequence of a and b; at each step: have there been more a than b so far, fewer, or as many? The networks are
trained on 40 steps. Then n times a is read, and b until the network no longer answers "more". That must take n times b.
A GRU's unit that goes towards 1 with a and towards -1 with b, with the same z, holds 1 - z^n after n times a, and is
back at 0 after

    m = ln(2 - z^n) / -ln z        steps, which is less than ln 2 / -ln z, however large n

In each of seeds 0 to 9, all three networks count to 10 within one. Of 80, twice the length of training, both LSTMs
count more than 50 and none exactly (a trained forget gate is not quite 1 either). A GRU counts at most 32 of 80, and
36 of 320. With the output gate held open the LSTM still counts: it is not the output gate that makes the difference.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Adam

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.options import Bias, Count, Rate, Size
from mnist_lstm.plots.style import CURVES, draw_band, finish

CHANGES = ("couple the gates", "show c", "read c", "add a reset gate")
CELLS = ("LSTM", "LSTM without output gate", "GRU")
OPEN = 40.0  # logit of a gate held open: sigmoid(40) is 1 in float32 and in float64, and its slope next to 0
NUMBERS = (5, 10, 20, 40, 80, 160, 320)  # of marks that are counted


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        length: Steps of a training sequence.
        updates: Updates of each network.
        hidden_size: Units of each network.
        batch_size: Sequences per update.
        learning_rate: Learning rate of Adam.
        keep_bias: Initial bias of the gates that keep the state, f of an LSTM and z of a GRU.
        seeds: Number of networks of each kind.
    """

    length: Size = 40
    updates: Count = 500
    hidden_size: Size = 8
    batch_size: Size = 32
    learning_rate: Rate = 0.02
    keep_bias: Bias = 3.0
    seeds: Count = 5


QUICK = {"seeds": 1, "updates": 300}


class Counter(nn.Module):
    """Answer at each step whether there have been fewer a than b, as many, or more."""

    def __init__(self, cell: str, hidden_size: int, keep_bias: float) -> None:
        super().__init__()
        self.rnn = (nn.GRU if cell == "GRU" else nn.LSTM)(2, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 3)
        keep = slice(hidden_size, 2 * hidden_size)  # second of the gates i, f, g, o and of r, z, n
        with torch.no_grad():
            self.rnn.get_parameter("bias_ih_l0")[keep] = keep_bias
            self.rnn.get_parameter("bias_hh_l0")[keep] = 0
        if cell == "LSTM without output gate":
            hold_output_gate_open(self.rnn)

    def forward(self, marks: Tensor) -> Tensor:
        """Return logits ``(N, L, 3)`` for marks ``(N, L)``: 1 for a, 0 for b."""
        logits: Tensor = self.head(self.rnn(F.one_hot(marks, 2).float())[0])
        return logits


def run(options: Options) -> Result:
    """Change an LSTM into a GRU, and let three networks count."""
    exact = [convert(seed) for seed in range(options.seeds)]
    bounds = [largest_states(seed) for seed in range(options.seeds)]
    tasks = [(cell, seed) for cell in CELLS for seed in range(options.seeds)]
    networks = {task: train(*task, options) for task in track(tasks, "training")}
    shares = {cell: [share_correct(networks[cell, s], s, options) for s in range(options.seeds)] for cell in CELLS}
    counts = {
        cell: [{n: counted(networks[cell, s], n) for n in NUMBERS} for s in range(options.seeds)] for cell in CELLS
    }
    after = {step: [one["after"][step] for one in exact] for step in exact[0]["after"]}
    without = {change: [one["without"][change] for one in exact] for change in CHANGES}
    blocks = {cell: weights_of_one_layer(cell, options.hidden_size) for cell in CELLS}
    lines = [
        f"from an LSTM without output gate to a GRU of the same weights, {options.seeds} seeds:",
        "maximum difference of the outputs from those of nn.GRU",
        *table(["after", "difference"], [[name, spread(values, ".2g")] for name, values in after.items()]),
        *table(["all changes but", "difference"], [[name, spread(values, ".2g")] for name, values in without.items()]),
        "",
        "largest state with weights and inputs 100 times as large, 200 steps",
        *table(["", "largest"], [[name, spread([one[name] for one in bounds], ".3g")] for name in bounds[0]]),
        "",
        f"weights of a layer of {options.hidden_size} units: "
        + ", ".join(f"{cell} {number}" for cell, number in blocks.items()),
        "",
        f"more a than b so far? After {options.updates} updates on {options.length} steps, share of right answers",
        *table(["", "share"], [[cell, spread(values, ".1%")] for cell, values in shares.items()]),
        "",
        "n times a, then b until the answer is no longer more: number of b (it should be n)",
        *table(
            ["n", *CELLS],
            [[str(n), *(spread([float(one[n]) for one in counts[cell]], ".0f") for cell in CELLS)] for n in NUMBERS],
        ),
    ]
    numbers = {"difference_after": after, "difference_without": without, "largest_states": bounds, "weights": blocks}
    counting = {
        "share_correct": shares,
        "numbers": NUMBERS,
        "counted": {cell: [[*one.values()] for one in ones] for cell, ones in counts.items()},
    }
    measures = [
        Measure("largest difference from nn.GRU after all four changes", after[CHANGES[-1]], ".0e"),
        *(
            Measure(f"{cell}: marks counted of 80, trained on {options.length} steps", [one[80] for one in ones], ".0f")
            for cell, ones in counts.items()
        ),
    ]
    return Result(lines, numbers | counting, _draw(counts, options), measures=measures)


def read(weights: dict[str, Tensor], sequence: Tensor, changes: tuple[str, ...]) -> dict[str, Tensor]:
    """Read a sequence ``(L, input_size)`` with the weights of an `nn.GRU` as an LSTM without output gate, changed.

    Returns:
        The outputs h and the states c, each ``(L, H)``; ``changes`` are any of `CHANGES`.
    """
    coupled, shown, read_c, reset = (change in changes for change in CHANGES)
    size = weights["weight_hh_l0"].shape[1]
    c = h = sequence.new_zeros(size)
    states, outputs = [], []
    for x in sequence:
        x_i, x_f, x_g = (weights["weight_ih_l0"] @ x + weights["bias_ih_l0"]).split(size)
        old = c if read_c else c.tanh()
        h_i, h_f, h_g = (weights["weight_hh_l0"] @ old + weights["bias_hh_l0"]).split(size)
        first, f = (x_i + h_i).sigmoid(), (x_f + h_f).sigmoid()
        g = (x_g + (first * h_g if reset else h_g)).tanh()
        c = f * c + ((1 - f) if coupled else first) * g
        h = c if shown else c.tanh()
        states.append(c)
        outputs.append(h)
    return {"h": torch.stack(outputs), "c": torch.stack(states)}


@torch.no_grad()
def convert(seed: int, input_size: int = 4, hidden_size: int = 8, length: int = 50) -> dict[str, dict[str, float]]:
    """Return the maximum difference from `nn.GRU` after each change, and without each change, in float64.

    Recurrent weights are three times as large as PyTorch's initial ones, so that the state has a say.
    """
    torch.manual_seed(seed)
    layer = nn.GRU(input_size, hidden_size).double()
    layer.get_parameter("weight_hh_l0").mul_(3)
    weights: dict[str, Tensor] = dict(layer.named_parameters())
    sequence = torch.randn(length, input_size, dtype=torch.float64)
    target = layer(sequence)[0]

    def difference(*changes: str) -> float:
        return float((read(weights, sequence, changes)["h"] - target).abs().max())

    after = {name: difference(*CHANGES[:number]) for number, name in enumerate(("no change", *CHANGES))}
    return {
        "after": after,
        "without": {left: difference(*(change for change in CHANGES if change != left)) for left in CHANGES},
    }


@torch.no_grad()
def hold_output_gate_open(layer: nn.RNNBase) -> None:
    """Hold the output gates of an `nn.LSTM` at 1: at `OPEN` the sigmoid is flat, and no update moves them."""
    for name, weight in layer.named_parameters():
        weight[3 * layer.hidden_size :] = OPEN if name == "bias_ih_l0" else 0


@torch.no_grad()
def largest_states(seed: int, hidden_size: int = 8, length: int = 200) -> dict[str, float]:
    """Return the largest absolute state of a GRU and of an LSTM with wild weights over a sequence."""
    torch.manual_seed(seed)
    sequence = 100 * torch.randn(length, 4, dtype=torch.float64)
    gru, lstm = nn.GRU(4, hidden_size).double(), nn.LSTM(4, hidden_size).double()
    for layer in (gru, lstm):
        for weight in layer.parameters():
            weight.mul_(100)
    hold_output_gate_open(lstm)
    steps = [lstm(sequence[:end])[1][1] for end in range(1, length + 1)]
    return {"h of a GRU": float(gru(sequence)[0].abs().max()), "c of an LSTM": float(torch.stack(steps).abs().max())}


def weights_of_one_layer(cell: str, hidden_size: int) -> int:
    """Return the number of weights of a layer for two inputs; without those of an output gate that is held."""
    blocks = 4 if cell == "LSTM" else 3
    return blocks * hidden_size * (2 + hidden_size + 2)


def draw(number: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw sequences ``(number, length)`` of 1 for a and 0 for b, and the answers: 0 fewer a, 1 as many, 2 more.

    A sequence's share of a is drawn uniformly from 0 to 1, and drawn again at a random step: so it goes far from a tie,
    and comes back.
    """
    shares = torch.rand(number, 2, generator=generator)
    change = torch.randint(0, length, (number, 1), generator=generator)
    share = torch.where(torch.arange(length) < change, shares[:, :1], shares[:, 1:])  # (number, length)
    marks = (torch.rand(number, length, generator=generator) < share).long()
    return marks, (2 * marks - 1).cumsum(dim=1).sign() + 1


def train(cell: str, seed: int, options: Options) -> Counter:
    """Train a network to compare the numbers of a and b at each step."""
    torch.manual_seed(seed)
    model, generator = Counter(cell, options.hidden_size, options.keep_bias), torch.Generator().manual_seed(seed)
    optimizer = Adam(model.parameters(), options.learning_rate)
    for _ in range(options.updates):
        marks, answers = draw(options.batch_size, options.length, generator)
        update(optimizer, F.cross_entropy(model(marks).flatten(0, 1), answers.flatten()), 1.0)
    return model


@torch.no_grad()
def share_correct(model: Counter, seed: int, options: Options) -> float:
    """Return the share of steps, 0 to 1, that are answered rightly in 500 new sequences of the training length."""
    marks, answers = draw(500, options.length, torch.Generator().manual_seed(1_000_000 + seed))
    return float((model(marks).argmax(dim=2) == answers).double().mean())


@torch.no_grad()
def counted(model: Counter, n: int) -> int:
    """Return after how many b that follow n times a the answer is no longer "more"; at most 2 n + 1."""
    marks = torch.tensor([[1] * n + [0] * (2 * n)])
    answers: list[int] = model(marks)[0, n - 1 :].argmax(dim=1).tolist()  # after n a; then after each b
    return next((number for number, answer in enumerate(answers) if answer != 2), 2 * n + 1)


def _draw(counts: dict[str, list[dict[int, int]]], options: Options) -> Figure:
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axis = figure.subplots()
    for (cell, ones), curve, marker in zip(counts.items(), CURVES, "o^s", strict=False):
        draw_band(axis, NUMBERS, [list(one.values()) for one in ones], curve, marker=marker, label=cell)
    axis.plot(NUMBERS, NUMBERS, color="0.5", linewidth=1, label="exact")
    axis.axvline(options.length, color="0.7", linewidth=1)
    axis.annotate(" training length", (options.length, 0.02), xycoords=("data", "axes fraction"), color="0.4")
    labels = {"xlabel": "n, number of a", "ylabel": 'number of b until the answer is no longer "more"'}
    finish(axis, xscale="log", yscale="log", title="counting beyond the training length", **labels)
    axis.set_xticks(NUMBERS, [str(n) for n in NUMBERS])
    axis.set_yticks(NUMBERS, [str(n) for n in NUMBERS])
    axis.minorticks_off()
    axis.set_ylim(bottom=3)
    return figure
