"""For the lesson `characters`: a text, a network that reads symbols, and the names of the digits.

The text is the help topics that come with Python, those of ``help("assignment")`` and so on; it depends on the Python
version. Many topics are copies of parts of longer ones: `for` stands in `compound` word by word. With a copy among the
training documents, a held-out document measures how well it is looked up, so copies are left out.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_lstm.errors import InputError
from mnist_lstm.lessons.digits import update

ALPHABET = " abcdefghijklmnopqrstuvwxyz.,()_"  # every other character is read as a space
START = len(ALPHABET)  # symbol that stands before the first character of a document
WINDOW = 60  # characters of a passage that is looked for in longer documents
COPIED = 0.1  # share of a document's passages above which it is left out
PARTS = 5  # one document of five, by length, is held out
IGNORED = -100  # target of a step that does not count: `F.cross_entropy` leaves it out
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STOP = ALPHABET.index(".")  # the symbol that ends a name

Codes = npt.NDArray[np.int64]
"""A document as indices into `ALPHABET`, ``(L,)``."""

State = tuple[Tensor, Tensor] | None


class Text(NamedTuple):
    """Documents, each as codes ``(L,)``.

    Attributes:
        train: to train on.
        held_out: to measure on.
        copies: number of documents left out because they stand in longer ones.
    """

    train: list[Codes]
    held_out: list[Codes]
    copies: int


def load_topics() -> list[str]:
    """Return the documents that come with Python, in lower case and the characters of `ALPHABET` alone.

    Raises:
        InputError: This Python has no such documents.
    """
    try:
        topics = import_module("pydoc_data.topics").topics
    except ImportError as error:
        message = (
            "this Python has no module pydoc_data, whose text the lesson reads; use one that has Python's help texts"
        )
        raise InputError(message) from error
    return [reduce(topics[name]) for name in sorted(topics)]


def reduce(text: str) -> str:
    """Return a text in the characters of `ALPHABET`, with one space for each run of other characters and spaces."""
    return " ".join("".join(c if c in ALPHABET else " " for c in text.lower()).split())


def encode(text: str) -> Codes:
    """Return the indices into `ALPHABET` of a reduced text."""
    return np.array([ALPHABET.index(character) for character in text], dtype=np.int64)


def decode(codes: Sequence[int]) -> str:
    """Return the text of indices into `ALPHABET`."""
    return "".join(ALPHABET[code] for code in codes)


def without_copies(documents: Sequence[str]) -> list[str]:
    """Leave out documents of which more than `COPIED` stands in longer ones; the longest come first."""
    seen: set[str] = set()
    kept = []
    for document in sorted(documents, key=lambda text: (-len(text), text)):
        passages = {document[at : at + WINDOW] for at in range(max(1, len(document) - WINDOW + 1))}
        if len(passages & seen) <= COPIED * len(passages):
            kept.append(document)
        seen |= passages
    return kept


def split(documents: Sequence[Codes], part: int = PARTS // 2) -> tuple[list[Codes], list[Codes]]:
    """Split documents, the longest first, into those to train on and those held out, whole documents each.

    Args:
        documents: codes ``(L,)`` each.
        part: which of the `PARTS` is held out, from 0.
    """
    held_out = [document for place, document in enumerate(documents) if place % PARTS == part]
    return [document for place, document in enumerate(documents) if place % PARTS != part], held_out


def load_text() -> Text:
    """Load the documents, leave out copies and split the rest."""
    topics = load_topics()
    kept = without_copies(topics)
    return Text(*split([encode(document) for document in kept]), len(topics) - len(kept))


def cut(documents: list[Codes], piece: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut documents into pieces, one after the other.

    Returns:
        Inputs ``(pieces, piece)``, each character's predecessor; targets of the same shape, `IGNORED` after the end of
        a document; whether a document begins with the piece ``(pieces,)``.
    """
    inputs, targets, first = [], [], []
    for document in documents:
        count = -(-len(document) // piece)
        fill = (0, count * piece - len(document))
        before = np.concatenate([[START], document[:-1]])
        inputs.append(np.pad(before, fill).reshape(count, piece))
        targets.append(np.pad(document, fill, constant_values=IGNORED).reshape(count, piece))
        first += [True] + [False] * (count - 1)
    return torch.tensor(np.concatenate(inputs)), torch.tensor(np.concatenate(targets)), torch.tensor(first)


class SymbolNet(nn.Module):
    """Read symbols and give logits of classes after each: an LSTM and a linear head."""

    def __init__(self, symbols: int, hidden_size: int, classes: int) -> None:
        super().__init__()
        self.symbols = symbols
        self.rnn = nn.LSTM(symbols, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, classes)

    def forward(self, codes: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return logits ``(N, L, classes)`` and the last state; codes are ``(N, L)``, the state by default zeros."""
        outputs, state = self.rnn(F.one_hot(codes, self.symbols).float(), state)
        return self.head(outputs), state


def spell_names(seed: int, updates: int = 150) -> list[str]:
    """Train a network to spell the digits' names, one-to-many; return what it spells for each class."""
    torch.manual_seed(seed)
    letters = len(ALPHABET)
    model = SymbolNet(letters + len(NAMES), 32, letters)
    classes = torch.arange(letters, letters + len(NAMES))[:, None]  # (10, 1): a symbol for each class
    wanted = _padded([[*encode(name), STOP] for name in NAMES])  # (10, 6)
    inputs = torch.cat([classes, wanted[:, :-1].clamp(min=0)], dim=1)
    _fit(model, inputs, wanted, updates)
    with torch.no_grad():
        codes, state, spelled = classes, None, []
        for _ in range(wanted.shape[1] + 2):  # room to miss the end
            logits, state = model(codes, state)
            codes = logits[:, -1:].argmax(dim=2)  # what it gives is what it reads next
            spelled.append(codes)
    return [decode(row).split(ALPHABET[STOP])[0] for row in torch.cat(spelled, dim=1).tolist()]


def read_names(seed: int, names: Sequence[str] = NAMES, updates: int = 150) -> tuple[Tensor, Tensor]:
    """Train a network to read names to classes; the loss asks after every letter.

    Returns:
        Probabilities of the classes after each letter ``(names, letters)``, those of the right class, and the exact
        ones: 1 over the number of names that begin like this one. Both are 1 after a name's end.
    """
    torch.manual_seed(seed)
    model = SymbolNet(len(ALPHABET), 32, len(names))
    letters = _padded([encode(name).tolist() for name in names])  # (10, 5)
    classes = torch.arange(len(names))[:, None].where(letters != IGNORED, IGNORED)
    _fit(model, letters.clamp(min=0), classes, updates)
    with torch.no_grad():
        logits, _ = model(letters.clamp(min=0))
        right = logits.softmax(dim=2).gather(2, classes.clamp(min=0)[:, :, None])[:, :, 0]
    exact = torch.ones_like(right)
    for row, name in enumerate(names):
        for end in range(1, len(name) + 1):
            exact[row, end - 1] = 1 / sum(other.startswith(name[:end]) for other in names)
    return right.where(letters != IGNORED, 1.0), exact


def _padded(rows: list[list[int]]) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[IGNORED] * (longest - len(row))] for row in rows])


def _fit(model: SymbolNet, inputs: Tensor, targets: Tensor, updates: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(updates):
        logits, _ = model(inputs)
        update(optimizer, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED), 1.0)
