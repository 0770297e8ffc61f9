"""How many bits a state holds: recall N random bits, and which of them are lost first; counting and parity beside it.

The network reads N random bits, one a step, and answers after the last, from its state of H units:

    recall    all N bits, through one linear head                    N bits must be kept
    count     the number of ones                                     log2(N + 1) bits at most
    parity    whether that number is odd, asked after the last step  1 bit
    running   the same, but asked after every step in training       1 bit

Bits stored. If bit j is answered correctly in a share a_j of new sequences, then the state tells about it at least
1 - H2(a_j) bits (Fano's inequality), where H2(a) = -a log2 a - (1 - a) log2(1 - a). The bits are independent, so

    bits stored >= (1 - H2(a_1)) + (1 - H2(a_2)) + ... + (1 - H2(a_N))

The bound counts what the linear head can read, no more. A network that keeps the last k bits and nothing else has
a_j = 1 for them, 1/2 for all others, and stores k.

More to read is not more kept. Eight units store 3 to 5 bits, of 8, of 16 or of 32, and of 32 no more than of 8: a trace
of each bit in the middle is left, but the sum does not grow.

What a state can hold in principle is another matter. One unit with weights set by hand, f = 1/2, i = 1 and g = +1 or
-1, computes c = g_N + g_(N-1)/2 + g_(N-2)/4 + ...: a binary fraction. A float32 has 24 binary digits, so that one unit
holds 24 bits without an error, and with the 25th the first are rounded away. (A program reads them, digit by digit; a
linear head cannot.) Thirty-two units after 300 updates hold fewer than that one unit: the limit met in a small
experiment is what training finds, not what the state could hold. With four times the updates they hold all of 16 bits.

Which bits are lost first? With 32 units not the oldest. The last bits are kept, the first bit nearly as well, and those
in the middle go. With 8 units the first bit goes too.

What is hard is not the length. At the same 32 steps, 8 units give the exact count in 99% of sequences, and store 3.5 of
32 bits. And one bit of memory is not always easy: parity asked at the end stays at chance level; asked after
every step in training, it is right in more than 99%, after 512 steps too, 16 times the length of training. The count is
not: it was asked after 32 steps only, and after 16 or 48 it is never right. Likewise 32 units that recall 8 bits fail
with one more: they still name the first bits that they read, but the oldest of the last 8 at chance level. A network
learns what its loss asks for, at the lengths at which it is asked.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.options import Count, Rate, Size
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, draw_band, finish

SIZES, LENGTHS = (8, 32), (8, 16, 32)  # of the networks that recall
SMALL, LONG = 8, 32  # units and steps of the networks that count
OTHER_LENGTHS = (16, 48, 512)  # at which they are asked as well
READ = 2000  # new sequences to measure on
TASKS = {"count": "count", "parity": "parity, asked at the end", "running": "parity, asked at every step"}

QUICK = {"seeds": 1}


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        updates: Updates of each network.
        batch_size: Sequences per update.
        learning_rate: Learning rate of Adam at the first update; it falls to 0 in a straight line.
        seeds: Number of seeds; results are the median and the range over them.
    """

    updates: Count = 300
    batch_size: Size = 64
    learning_rate: Rate = 0.02
    seeds: Count = 5


def run(options: Options) -> Result:
    """Train networks to recall bits, to count and to tell the parity."""
    return summarise(options, [measure(options, seed) for seed in track(range(options.seeds), "training")])


def measure(options: Options, seed: int) -> dict[str, Any]:
    """Return all measurements of one seed."""
    recall: dict[str, list[float]] = {}
    for size in SIZES:
        for length in LENGTHS:
            model = train(options, "recall", seed, size, length)
            recall[f"{size} units, {length} bits"] = accuracies(model, length, seed)
            if (size, length) == (SIZES[-1], LENGTHS[0]):
                one_more = draw(READ, length + 1, _generator(seed))
                answers = recall_logits(model, one_more) > 0
                first, last = (_shares(answers, bits) for bits in (one_more[:, :-1], one_more[:, 1:]))
    right: dict[str, dict[str, float]] = {}
    for task in TASKS:
        model = train(options, task, seed, SMALL, LONG)
        lengths = (LONG, *OTHER_LENGTHS)
        right[task] = {f"{length}": share_right(model, task, length, seed) for length in lengths}
    return {"recall": recall, "one_more_first": first, "one_more_last": last, "right": right}


def draw(number: int, length: int, generator: torch.Generator) -> Tensor:
    """Draw random bits, 0 or 1, ``(number, length)``."""
    return torch.randint(0, 2, (number, length), generator=generator).float()


def recall_logits(model: RowLSTM, bits: Tensor) -> Tensor:
    """Return the outputs ``(N, num_classes)`` after the last of the bits ``(N, L)``."""
    logits: Tensor = model(as_input(bits))
    return logits


def as_input(bits: Tensor) -> Tensor:
    """Return bits ``(N, L)`` as sequences of -1 and 1, ``(N, L, 1)``."""
    return (2 * bits - 1).unsqueeze(2)


def loss_of(model: RowLSTM, task: str, bits: Tensor) -> Tensor:
    """Return the loss of a task on bits ``(N, L)``."""
    if task == "running":
        outputs, _ = model.rnn(as_input(bits))  # (N, L, H)
        answers: Tensor = model.head(outputs)[..., 0]
        return F.binary_cross_entropy_with_logits(answers, bits.cumsum(dim=1) % 2)
    answers = recall_logits(model, bits)
    if task == "recall":
        return F.binary_cross_entropy_with_logits(answers, bits)
    if task == "parity":
        return F.binary_cross_entropy_with_logits(answers[:, 0], bits.sum(dim=1) % 2)
    # counts around 0, with a deviation of 1/2
    return F.mse_loss(answers[:, 0], (bits.sum(dim=1) - LONG / 2) / math.sqrt(LONG))


def train(options: Options, task: str, seed: int, size: int, length: int) -> RowLSTM:
    """Train a network of ``size`` units on new sequences of one length, with Adam."""
    torch.manual_seed(seed)
    outputs = length if task == "recall" else 1
    model = RowLSTM(input_size=1, hidden_size=size, num_classes=outputs, bidirectional=False)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    for step in range(options.updates):
        optimizer.param_groups[0]["lr"] = options.learning_rate * (1 - step / options.updates)
        update(optimizer, loss_of(model, task, draw(options.batch_size, length, generator)), 1.0)
    return model


@torch.no_grad()
def accuracies(model: RowLSTM, length: int, seed: int) -> list[float]:
    """Return for each bit of new sequences the share, 0 to 1, that is recalled correctly."""
    bits = draw(READ, length, _generator(seed))
    return _shares(recall_logits(model, bits) > 0, bits)


@torch.no_grad()
def share_right(model: RowLSTM, task: str, length: int, seed: int) -> float:
    """Return the share of new sequences, 0 to 1, whose count, or parity, is exactly right after the last step."""
    bits = draw(READ, length, _generator(seed))
    answers, ones = recall_logits(model, bits)[:, 0], bits.sum(dim=1)
    right = (
        (answers > 0) == (ones % 2 > 0) if task != "count" else (answers * math.sqrt(LONG) + LONG / 2).round() == ones
    )
    return float(right.double().mean())


def bits_stored(shares: Sequence[float]) -> float:
    """Return the sum of 1 - H2(a) over the accuracies a of the bits, in bits; an accuracy below 1/2 counts as 1/2."""
    a = torch.tensor(shares, dtype=torch.float64).clamp(min=0.5)
    return float((1 + (torch.special.xlogy(a, a) + torch.special.xlogy(1 - a, 1 - a)) / math.log(2)).sum())


def by_hand() -> nn.LSTM:
    """Return an LSTM of one unit with the cell state x_N + x_(N-1)/2 + x_(N-2)/4 + ..., for inputs x of -1 and 1."""
    layer = nn.LSTM(1, 1, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.get_parameter("bias_ih_l0")[0] = 30  # i = 1 in float32; f = sigmoid(0) = 1/2
        layer.get_parameter("weight_ih_l0")[2] = 30  # g = tanh(30 x) = x
    return layer


@torch.no_grad()
def hand_accuracies(length: int) -> list[float]:
    """Return the accuracy of each bit as read, digit by digit, from the cell state of the unit set by hand."""
    bits = draw(READ, length, _generator(0))
    _, (_, state) = by_hand()(as_input(bits))
    rest, digits = state[0, :, 0].double(), []
    for _ in range(length):
        digits.append(rest > 0)
        rest = 2 * (rest - torch.where(rest > 0, 1.0, -1.0))
    return _shares(torch.stack(digits[::-1], dim=1), bits)


def summarise(options: Options, seeds: list[dict[str, Any]]) -> Result:
    """Put the measurements of all seeds into a text, numbers and a figure."""
    recall = {name: [seed["recall"][name] for seed in seeds] for name in seeds[0]["recall"]}
    stored = {name: [bits_stored(shares) for shares in ones] for name, ones in recall.items()}
    right = {
        task: {at: [seed["right"][task][at] for seed in seeds] for at in seeds[0]["right"][task]} for task in TASKS
    }
    hand = {f"{length}": hand_accuracies(length) for length in (24, 25)}
    numbers: dict[str, Any] = {
        "recall": recall,
        "bits_stored": stored,
        "right": right,
        "one_more_first": [seed["one_more_first"] for seed in seeds],
        "one_more_last": [seed["one_more_last"] for seed in seeds],
        "by_hand": hand,
    }
    parts: dict[str, Callable[[list[float]], float]] = {
        "first bit": lambda shares: shares[0],
        "middle half": lambda shares: statistics.fmean(shares[len(shares) // 4 : -(len(shares) // 4)]),
        "last bit": lambda shares: shares[-1],
    }
    rows = [
        [
            name,
            *(spread([part(shares) for shares in ones], ".0%") for part in parts.values()),
            spread(stored[name], ".1f"),
            spread([value / int(name.split()[0]) for value in stored[name]], ".2f"),
        ]
        for name, ones in recall.items()
    ]
    lines = [
        f"{options.seeds} seeds: median (lowest to highest); {options.updates} updates; chance level 50%",
        "",
        "recall: accuracy of bits, and bits stored, at least",
        *table(["", *parts, "bits stored", "per unit"], rows),
        "",
        f"one unit set by hand: 24 bits, lowest accuracy {min(hand['24']):.0%}; 25 bits, {min(hand['25']):.0%}",
        f"{SIZES[-1]} units trained to recall {LENGTHS[0]} bits read one bit more: first bit "
        f"{spread([one[0] for one in numbers['one_more_first']], '.0%')}, the oldest of the last {LENGTHS[0]} "
        f"{spread([one[0] for one in numbers['one_more_last']], '.0%')}",
        "",
        f"{SMALL} units trained at {LONG} steps: share of sequences with exactly the right answer, by their length",
        *table(
            ["", *right["count"]],
            [[TASKS[task], *(spread(values, ".0%") for values in ones.values())] for task, ones in right.items()],
        ),
    ]
    small, large = f"{SIZES[0]} units, 32 bits", f"{SIZES[-1]} units, 32 bits"
    measures = [
        Measure("bits stored of 32, 8 units", stored[small], ".1f"),
        Measure("bits stored of 32, 32 units", stored[large], ".1f"),
        Measure("recall of 32 bits, 32 units: accuracy of the first bit", [one[0] for one in recall[large]], ".1%"),
        Measure("the same: accuracy of the middle half", [statistics.fmean(one[8:-8]) for one in recall[large]], ".1%"),
        Measure("number of ones among 32 exactly right, 8 units", right["count"]["32"], ".1%"),
        Measure("parity of 32 bits right, asked at the end, 8 units", right["parity"]["32"], ".1%"),
        Measure("parity of 512 bits right, trained at every one of 32 steps", right["running"]["512"], ".1%"),
    ]
    return Result(lines, numbers, _draw(recall, stored), measures=measures)


def _draw(recall: dict[str, list[list[float]]], stored: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    *axes, last = figure.subplots(1, len(LENGTHS) + 1)
    for axis, length in zip(axes, LENGTHS, strict=True):
        for size, curve in zip(SIZES, CURVES, strict=False):
            values = recall[f"{size} units, {length} bits"]  # (seeds, N)
            draw_band(axis, range(1, length + 1), values, curve, label=f"{size} units")
        kept = round(statistics.median(stored[f"{SIZES[-1]} units, {length} bits"]))
        last_bits = [0.5] * (length - kept) + [1.0] * kept
        axis.step(range(1, length + 1), last_bits, ":", where="mid", color="0.4")
        axis.axhline(0.5, color="0.5", linewidth=1)
        finish(
            axis,
            title=f"recall of {length} bits",
            xlabel="bit, in the order read",
            ylabel="accuracy",
            ylim=(0.45, 1.02),
        )
        axis.get_legend().remove()
    note = "dotted: only the\nlast bits kept,\nas many as by\n32 units"
    axes[-1].annotate(note, (0.16, 0.96), xycoords="axes fraction", color="0.4", va="top")
    axes[0].annotate("chance level", (0.03, 0.5), xycoords=("axes fraction", "data"), color="0.4", va="bottom")
    for size, curve in zip(SIZES, CURVES, strict=False):
        runs = list(zip(*(stored[f"{size} units, {length} bits"] for length in LENGTHS), strict=True))
        draw_band(last, LENGTHS, runs, curve, marker="o", label=f"{size} units")
    last.plot(LENGTHS, LENGTHS, color="0.5", linewidth=1, label="all bits")
    finish(last, title="bits stored, at least", xlabel="bits read", ylabel="bits", xticks=LENGTHS)
    return figure


def _generator(seed: int) -> torch.Generator:
    """Return a generator of sequences that are not those of the training."""
    return torch.Generator().manual_seed(1_000_000 + seed)


def _shares(answers: Tensor, bits: Tensor) -> list[float]:
    shares: list[float] = (answers == (bits > 0)).double().mean(dim=0).tolist()
    return shares
