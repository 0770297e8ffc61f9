"""Shapes of sequence tasks on characters: one answer per step, one answer per sequence, one input and many outputs.

An LSTM layer maps (N, L, F) to (N, L, H): N sequences, L steps, F values per step, H units. What makes the task is
which of its outputs a head reads, and which of them the loss compares. With C classes:

    task           inputs     outputs    loss: mean cross-entropy       example
    many-to-many   (N, L, F)  (N, L, C)  of all N L steps               predict the next character
    many-to-one    (N, L, F)  (N, C)     of N sequences                 letters to a digit; 28 rows of an image to one
                                                                        class, the digits of this project
    one-to-many    (N, 1, F)  (N, L, C)  of all steps; in training the  a digit to its letters
                                         wanted letters are the inputs

Many-to-many. The network predicts each character of a text from those before it. The text is Python's own help topics,
reduced to 32 characters; whole documents are held out. It depends a little on the Python version. Bits per character
are the mean of -log2 p; uniform probabilities give log2 32 = 5. They are compared with n-gram models, which predict
from the k characters before by counting, smoothed with a discount that is chosen on training documents.

Count first what stands twice. Many of the topics are copies of parts of others. With the copies left in, the n-gram
model seems to use longer contexts and to predict better: it looks passages up. Without them it is best with four
characters, and becomes worse with more. There are 32^25 contexts of 25 characters, and about 250,000 characters to
count in: hardly any is seen again. The LSTM looks nothing up, its longer contexts share weights. After 1,000 updates it
is about as good as the best n-gram model, within 0.1 bits, and better than those of up to three or of seven and more
characters. (Its options were chosen on the same held-out documents, which favours it a little.)

Resets. Training cuts a document into pieces of 25 characters, and carries the state from one to the next (as numbers:
see the lesson `bptt`). At the end of a document the state is reset, inside it is not. Evaluation with the state reset
every 10 or 25 characters costs bits, although the last character is always an input. Character j after a reset has j
characters of context. (Zero states in the middle of a word are new to the network, so that this is not the best that so
short a context allows.) The state that another document left costs bits in the first 50 characters of the next.

One-to-many. The trained network writes by reading what it has drawn; a small one spells a digit's name from its class,
until it gives a stop symbol. Many-to-one: the same names are read, letter by letter, to the class. After one letter the
best answer is exact: t, f and s leave two digits each, with probability 1/2 each; after two letters no doubt is left.
The network comes to just these probabilities.
"""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, ngrams, spread, table, text
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.ngrams import CONTEXTS, SEEN
from mnist_lstm.lessons.options import Count, Rate, Size
from mnist_lstm.lessons.text import ALPHABET, IGNORED, START, Codes, State, SymbolNet, Text, cut
from mnist_lstm.plots.style import CURVES, draw_band, finish

RESETS = (10, 25)  # characters after which the state is reset in an evaluation
BEGINNING = 50  # characters of a document that count as its beginning

QUICK = {"seeds": 1, "updates": 200}


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        updates: Updates of the network that predicts characters.
        hidden_size: Its units.
        piece: Characters that a truncated gradient flows back.
        batch_size: Pieces per update.
        learning_rate: Learning rate of Adam at the first update; it falls to 0 in a straight line.
        temperature: Divides the logits before a character is drawn; below 1, likely ones become more likely.
        seeds: Number of networks; three by default, since each trains for about ten seconds.
    """

    updates: Count = 1000
    hidden_size: Size = 128
    piece: Size = 25
    batch_size: Size = 32
    learning_rate: Rate = 0.02
    temperature: Rate = 0.5
    seeds: Count = 3


def run(options: Options) -> Result:
    """Predict characters, write, spell and read names."""
    documents = text.load_text()
    counted = ngrams.measure(documents)
    return summarise(
        options,
        documents,
        counted,
        [measure(options, documents, seed) for seed in track(range(options.seeds), "training")],
    )


def measure(options: Options, documents: Text, seed: int) -> dict[str, Any]:
    """Return all measurements of one network and of the two that spell and read names."""
    torch.manual_seed(seed)
    model = SymbolNet(len(ALPHABET) + 1, options.hidden_size, len(ALPHABET))
    before = u_after_q(model, documents.held_out)
    train(model, options, documents.train, seed)
    own, other = beginnings(model, documents.held_out)
    pieces = {f"{length}": bits_in_pieces(model, documents.held_out, length) for length in RESETS}
    read, exact = text.read_names(seed)
    return {
        "bits": float(torch.cat([bits_of(model, document)[0] for document in documents.held_out]).mean()),
        "reset": {length: float(bits.mean()) for length, bits in pieces.items()},
        "by_position": pieces[f"{RESETS[-1]}"].mean(dim=0).tolist(),
        "beginning": own,
        "beginning_of_another": other,
        "u_after_q_before": before,
        "u_after_q": u_after_q(model, documents.held_out),
        "sample": write(model, "the ", 200, options.temperature, seed),
        "names_spelled": text.spell_names(seed),
        "name_probabilities": read.tolist(),
        "name_difference": float((read - exact).abs().max()),
    }


def train(model: SymbolNet, options: Options, documents: list[Codes], seed: int) -> None:
    """Train on whole documents in random order, with truncated back-propagation through time."""
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    order = np.random.default_rng(seed)
    left, state = 0, None
    for step in range(options.updates):
        if not left:  # each row of a batch reads its own run of pieces; the rows start anew
            inputs, targets, first = cut([documents[k] for k in order.permutation(len(documents))], options.piece)
            rows = min(options.batch_size, len(inputs))
            left = per_row = len(inputs) // rows
            state = None
        now = slice(per_row - left, rows * per_row, per_row)
        left -= 1
        if state is not None:  # zero where a document begins, carried elsewhere, without its gradient
            h, c = (values.detach() * ~first[now][None, :, None] for values in state)
            state = h, c
        logits, state = model(inputs[now], state)
        optimizer.param_groups[0]["lr"] = options.learning_rate * (1 - step / options.updates)
        update(optimizer, F.cross_entropy(logits.flatten(0, 1), targets[now].flatten(), ignore_index=IGNORED), 1.0)


@torch.no_grad()
def bits_of(model: SymbolNet, document: Codes, state: State = None) -> tuple[Tensor, State]:
    """Return -log2 p of each character of a document ``(L,)``, and the last state."""
    inputs, targets, _ = cut([document], len(document))
    logits, state = model(inputs, state)
    return F.cross_entropy(logits[0], targets[0], reduction="none") / log(2), state


@torch.no_grad()
def bits_in_pieces(model: SymbolNet, documents: list[Codes], length: int) -> Tensor:
    """Return -log2 p of each character ``(pieces, length)``, the state reset before each full piece of a document."""
    inputs, targets, _ = cut(documents, length)
    full = (targets != IGNORED).all(dim=1)
    logits, _ = model(inputs[full])
    return F.cross_entropy(logits.flatten(0, 1), targets[full].flatten(), reduction="none").view(-1, length) / log(2)


def beginnings(model: SymbolNet, documents: list[Codes]) -> tuple[float, float]:
    """Return the bits per character of documents' beginnings, from zero states and from states of other documents."""
    begin = [document[:BEGINNING] for document in documents]
    states = [bits_of(model, document)[1] for document in documents]
    own = torch.cat([bits_of(model, document)[0] for document in begin])
    other = torch.cat(
        [
            bits_of(model, document, state)[0]
            for at, document in enumerate(begin)
            for place, state in enumerate(states)
            if place != at
        ]
    )
    return float(own.mean()), float(other.mean())


@torch.no_grad()
def u_after_q(model: SymbolNet, documents: list[Codes]) -> float:
    """Return the mean probability of u after each q of the documents."""
    found = []
    for document in documents:
        inputs, _, _ = cut([document], len(document))
        probabilities = model(inputs)[0][0].softmax(dim=1)  # (L, C)
        found.append(probabilities[inputs[0] == ALPHABET.index("q"), ALPHABET.index("u")])
    return float(torch.cat(found).mean())


@torch.no_grad()
def write(model: SymbolNet, start: str, length: int, temperature: float, seed: int) -> str:
    """Return a text: a start, and ``length`` characters that are drawn one by one and read again."""
    generator = torch.Generator().manual_seed(seed)
    codes = [START, *text.encode(start).tolist()]
    logits, state = model(torch.tensor([codes]))
    for _ in range(length):
        scores = logits[0, -1].double()
        scores = (scores - scores.max()) / temperature  # at most 0: no temperature makes it overflow to NaN
        drawn = torch.multinomial(scores.softmax(dim=0), 1, generator=generator)
        codes.append(int(drawn))
        logits, state = model(drawn[None], state)
    return text.decode(codes[1:])


def summarise(options: Options, documents: Text, counted: dict[str, Any], seeds: list[dict[str, Any]]) -> Result:
    """Put the measurements of all seeds into a text, numbers and a figure."""
    every: dict[str, Any] = {name: [seed[name] for seed in seeds] for name in seeds[0] if name != "reset"}
    every["reset"] = {length: [seed["reset"][length] for seed in seeds] for length in seeds[0]["reset"]}
    best = min(counted["bits"])
    copied = counted["copies_out"][-1] - counted["copies_in"][-1]
    lost = [other - own for own, other in zip(every["beginning"], every["beginning_of_another"], strict=True)]
    behind = [f"{sum(bits < own for bits in counted['bits'])} of {len(CONTEXTS)}" for own in every["bits"]]
    size, held = (sum(map(len, part)) for part in (documents.train, documents.held_out))
    doubt = [sum(-np.log2(row[0]) for row in ones) / len(ones) for ones in every["name_probabilities"]]
    right = [sum(map(str.__eq__, spelled, text.NAMES)) for spelled in every["names_spelled"]]
    lines = [
        f"Python's help topics: {documents.copies} copies left out; {size:,} characters in "
        f"{len(documents.train)} documents to train on, {held:,} in {len(documents.held_out)} to measure on",
        f"{options.seeds} seeds: median (lowest to highest)",
        "",
        f"n-gram models, discount {counted['discount']:g}: bits per character by characters of context",
        *table(
            ["", *map(str, CONTEXTS)],
            [
                ["the LSTM's held-out documents", *(f"{bits:.2f}" for bits in counted["bits"])],
                ["all documents, held out in turn", *(f"{bits:.2f}" for bits in counted["copies_out"])],
                ["the same with copies left in", *(f"{bits:.2f}" for bits in counted["copies_in"])],
            ],
        ),
        "",
        "contexts of the held-out text that were seen in training, by their length",
        *table(["", *map(str, SEEN)], [["share", *(f"{share:.1%}" for share in counted["seen"])]]),
        "",
        f"LSTM of {options.hidden_size} units after {options.updates} updates: bits per character",
        *table(
            ["state", "bits"],
            [
                ["carried through each document", spread(every["bits"])],
                *([f"reset every {length} characters", spread(ones)] for length, ones in every["reset"].items()),
            ],
        ),
        f"n-gram models with fewer bits than the LSTM, by seed: {', '.join(behind)}",
        f"first {BEGINNING} characters of a document: {spread(every['beginning'])}",
        f"the same with the state that another document left: {spread(lost, '+.3f')}",
        f"probability of u after q: LSTM {spread(every['u_after_q_before'])} before training,",
        f"{spread(every['u_after_q'])} after; n-gram model of one character {counted['u_after_q']:.3f}",
        f"written at temperature {options.temperature:g}: {every['sample'][0]}",
        "",
        f"names: spelled without an error {spread(right, 'g')} of {len(text.NAMES)}; read, doubt after one letter "
        f"{spread(doubt)} bits (exact: 0.6), largest difference from the exact "
        f"probabilities {spread(every['name_difference'], '.2g')}",
    ]
    measures = [
        Measure("LSTM: bits per character of held-out text", every["bits"]),
        Measure("the best n-gram model: the same", [best]),
        Measure("LSTM, state reset every 10 characters: the same", every["reset"]["10"]),
        Measure(f"state of another document: more bits per character in the first {BEGINNING}", lost, "+.3f"),
        Measure("n-gram of 8 characters: bits gained by copies left in the text", [copied]),
        Measure("LSTM: mean probability of u after q", every["u_after_q"]),
    ]
    return Result(lines, {"ngrams": counted, **every}, _draw(counted, every), measures=measures)


def _draw(counted: dict[str, Any], every: dict[str, Any]) -> Figure:
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    bits, reset, names = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
    labels = {"bits": "n-gram", "copies_out": "n-gram, all documents", "copies_in": "... with copies left in"}
    for (key, label), (colour, style) in zip(labels.items(), CURVES[1:], strict=False):
        bits.plot(CONTEXTS, counted[key], style, marker="o", color=colour, label=label)
    carried = np.array(every["bits"])
    bits.axhline(float(np.median(carried)), color=CURVES[0][0], label="LSTM")
    bits.axhspan(carried.min(), carried.max(), color=CURVES[0][0], alpha=0.2, linewidth=0)
    finish(
        bits, xlabel="characters of context", ylabel="bits per held-out character", title="n-gram models", ylim=(1, 5)
    )
    draw_band(reset, range(1, RESETS[-1] + 1), every["by_position"], CURVES[0], label="LSTM since the reset")
    reset.plot(CONTEXTS[1:], counted["bits"][1:], CURVES[1][1], marker="o", color=CURVES[1][0], label="n-gram model")
    finish(
        reset, xlabel="characters of context", ylabel="bits per held-out character", title="state reset", ylim=(1, 5)
    )
    shares = np.median(np.array(every["name_probabilities"]), axis=0)  # (names, letters)
    names.imshow(shares, cmap="Greys", vmin=0, vmax=2.5, aspect="auto")
    for row, name in enumerate(text.NAMES):
        for place, letter in enumerate(name):
            names.text(place, row, f"{letter}\n{shares[row, place]:.2f}", ha="center", va="center", fontsize=8)
    names.set(title="reading names: p(right class)", xlabel="letters read", xticks=range(5), xticklabels=range(1, 6))
    names.set(yticks=range(len(text.NAMES)), ylabel="class")
    return figure
