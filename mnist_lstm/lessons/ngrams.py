"""For the lesson `characters`: n-gram models, which predict a character by counting."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mnist_lstm.lessons.text import ALPHABET, PARTS, START, Codes, Text, encode, load_topics, split, without_copies

CONTEXTS = range(9)  # characters of context
SEEN = (1, 2, 4, 8, 12, 25)  # lengths of context whose share seen in training is shown
DISCOUNTS = (0.5, 0.7, 0.8, 0.9, 0.95)


def measure(documents: Text) -> dict[str, Any]:
    """Return bits per character of n-gram models by context, and the contexts seen.

    On the documents that are held out from the LSTM, and on all documents in turn, without copies and with them.
    """
    topics = sorted(load_topics(), key=lambda topic: (-len(topic), topic))
    kept = without_copies(topics)
    discount = choose_discount(documents.train, CONTEXTS[-1])
    model = NGram(documents.train, CONTEXTS[-1], discount)
    after_q = NGram(documents.train, 1, discount).after("q")
    return {
        "discount": discount,
        "bits": [*map(bits, model.by_context(documents.held_out))],
        "copies_out": bits_by_context([*map(encode, kept)], CONTEXTS[-1], discount),
        "copies_in": bits_by_context([*map(encode, topics)], CONTEXTS[-1], discount),
        "seen": [seen_contexts(documents.train, documents.held_out, length) for length in SEEN],
        "u_after_q": float(after_q[ALPHABET.index("u")]),
    }


class NGram:
    """Predict a character from the ``context`` characters before it, by counts with interpolated absolute discounting.

    With n(s) the number of times that a context s was followed by some character, n(s, a) by the character a, and u(s)
    the number of different characters seen after it:

        p(a | s) = (max(n(s, a) - d, 0) + d u(s) p(a | s without its first character)) / n(s)

    The discount d is the same for every length of context; below the empty context stands the uniform distribution. A
    context that was never seen passes on the probability of the shorter one.

    Args:
        documents: codes ``(L,)`` each; `START` fills the contexts at a document's beginning.
        context: characters of context, 0 to 11.
        discount: d, above 0 and below 1.
    """

    def __init__(self, documents: Sequence[Codes], context: int, discount: float) -> None:
        self.context, self.discount = context, discount
        self.counts = []
        for length in range(context + 1):
            _, pairs = _keys(documents, length)
            pair, times = np.unique(pairs, return_counts=True)
            seen, start, different = np.unique(pair // len(ALPHABET), return_index=True, return_counts=True)
            self.counts.append((pair, times, seen, np.add.reduceat(times, start), different))

    def by_context(self, documents: Sequence[Codes]) -> list[npt.NDArray[np.float64]]:
        """Return the probability of each character of all documents after 0, 1, 2, ... characters of context.

        One array ``(characters,)`` for each length of context, up to the model's.
        """
        results = [np.full(sum(map(len, documents)), 1 / len(ALPHABET))]
        for length, (pair, times, seen, total, different) in enumerate(self.counts):
            before, pairs = _keys(documents, length)
            of_pair = _look_up(pair, times, pairs)
            of_context, kinds = _look_up(seen, total, before), _look_up(seen, different, before)
            mixed = np.maximum(of_pair - self.discount, 0) + self.discount * kinds * results[-1]
            results.append(np.where(of_context > 0, mixed / np.maximum(of_context, 1), results[-1]))
        return results[1:]

    def probabilities(self, documents: Sequence[Codes]) -> npt.NDArray[np.float64]:
        """Return the probability of each character of all documents after the model's context, ``(characters,)``."""
        return self.by_context(documents)[-1]

    def after(self, start: str) -> npt.NDArray[np.float64]:
        """Return the probabilities of all characters after a document's beginning ``start``, ``(len(ALPHABET),)``."""
        documents = [np.append(encode(start), code) for code in range(len(ALPHABET))]
        return self.probabilities(documents).reshape(len(ALPHABET), -1)[:, -1]


def seen_contexts(train: Sequence[Codes], documents: Sequence[Codes], length: int) -> float:
    """Return the share of characters of documents, 0 to 1, whose ``length`` characters before stand in ``train``."""
    # numbers of long contexts wrap around at 2^64: a hash
    return float(np.isin(_keys(documents, length)[0], _keys(train, length)[0]).mean())


def choose_discount(train: Sequence[Codes], context: int) -> float:
    """Return the discount of `DISCOUNTS` with the fewest bits, at its best context, on a fifth of the documents.

    The models that are compared count in the other documents alone.
    """
    count, judge = split(train)

    def best(discount: float) -> float:
        model = NGram(count, context, discount)
        return min(map(bits, model.by_context(judge)))

    return min(DISCOUNTS, key=best)


def bits_by_context(documents: Sequence[Codes], context: int, discount: float) -> list[float]:
    """Return bits per character after 0, 1, ..., ``context`` characters; each document is held out once."""
    parts = []
    for part in range(PARTS):
        train, held_out = split(documents, part)
        parts.append(NGram(train, context, discount).by_context(held_out))
    return [bits(np.concatenate(of_parts)) for of_parts in zip(*parts, strict=True)]


def bits(probabilities: npt.NDArray[np.float64]) -> float:
    """Return the mean of -log2 of probabilities: bits per character."""
    return float(-np.log2(probabilities).mean())


def _keys(documents: Sequence[Codes], length: int) -> tuple[Codes, Codes]:
    """Return the number of the context before each character, and that of context and character together."""
    before = []
    for document in documents:
        padded = np.concatenate([np.full(length, START), document])
        key = np.zeros(len(document), dtype=np.int64)
        for place in range(length):
            key = key * (len(ALPHABET) + 1) + padded[place : place + len(document)]
        before.append(key)
    contexts = np.concatenate(before)
    return contexts, contexts * len(ALPHABET) + np.concatenate(documents)


def _look_up(keys: Codes, values: Codes, wanted: Codes) -> Codes:
    """Return the value of each wanted key, 0 if there is none; keys are sorted."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
