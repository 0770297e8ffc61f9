"""Text without copies, n-gram models, state carried and reset, writing, spelling and reading names."""

import math
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnist_lstm.errors import InputError
from mnist_lstm.lessons import characters, ngrams, text
from mnist_lstm.lessons.ngrams import SEEN, NGram, seen_contexts

pytest.importorskip("pydoc_data.topics", reason="this Python has no help topics, whose text the lesson reads")

OPTIONS = characters.Options(updates=250, hidden_size=64, batch_size=16)
SEEDS = range(2)


@pytest.fixture(scope="module")
def documents() -> text.Text:
    return text.load_text()


@pytest.fixture(scope="module")
def counted(documents: text.Text) -> dict[str, Any]:
    return ngrams.measure(documents)


@pytest.fixture(scope="module")
def seeds(documents: text.Text) -> list[dict[str, Any]]:
    return [characters.measure(OPTIONS, documents, seed) for seed in SEEDS]


def test_held_out_documents_have_no_copy_among_the_training_documents(documents: text.Text) -> None:
    train = [text.decode(document.tolist()) for document in documents.train]
    assert documents.copies > 10
    for document in documents.held_out:
        held_out = text.decode(document.tolist())
        passages = [held_out[at : at + 200] for at in range(0, len(held_out), 200)]
        assert sum(any(passage in one for one in train) for passage in passages) <= 0.2 * len(passages)
    topics = text.load_topics()
    assert len(documents.train) + len(documents.held_out) + documents.copies == len(topics)


def test_copies_make_long_contexts_look_good(counted: dict[str, Any]) -> None:
    alone, copied = counted["copies_out"], counted["copies_in"]
    best = int(np.argmin(alone))
    assert best in (4, 5)
    assert alone[8] > alone[best] + 0.1
    assert int(np.argmin(copied)) > best
    assert alone[8] - copied[8] > 0.25
    assert counted["seen"][-1] < 0.05 < 0.5 < counted["seen"][SEEN.index(8)]


def test_ngram_model_is_that_of_its_equation() -> None:
    """Probabilities by dictionaries and recursion, and their sum over all characters is 1."""
    train = [text.encode("the cat sat on the mat. the rat"), text.encode("that hat")]
    model = NGram(train, 2, 0.7)

    def probability(context: str, character: str) -> float:
        counts = Counter(
            one[at] for one in padded for at in range(2, len(one)) if one[at - len(context) : at] == context
        )
        shorter = probability(context[1:], character) if context else 1 / len(text.ALPHABET)
        total = sum(counts.values())
        return (max(counts[character] - 0.7, 0) + 0.7 * len(counts) * shorter) / total if total else shorter

    padded = ["##" + text.decode(document.tolist()) for document in train]
    asked = "that mouse. "
    expected = [probability(("##" + asked)[at : at + 2], character) for at, character in enumerate(asked)]
    np.testing.assert_allclose(model.probabilities([text.encode(asked)]), expected, rtol=0, atol=1e-12)
    for start in ("", "th", "zz"):
        assert math.isclose(model.after(start).sum(), 1, abs_tol=1e-12)


def test_seen_contexts_are_those_of_a_search() -> None:
    train, held_out = [text.encode("abcabd")], [text.encode("xabcab")]
    strings, known = "##xabcab", "##abcabd"
    expected = sum(strings[at : at + 2] in {known[k : k + 2] for k in range(6)} for at in range(6)) / 6
    assert seen_contexts(train, held_out, 2) == expected


def test_more_context_helps_the_lstm_and_a_foreign_state_harms(
    seeds: list[dict[str, Any]], counted: dict[str, Any]
) -> None:
    for seed in seeds:
        assert seed["bits"] < seed["reset"]["25"] < seed["reset"]["10"]
        assert seed["bits"] < counted["bits"][1] - 0.3
        assert seed["beginning_of_another"] > seed["beginning"]
        assert seed["by_position"][0] > seed["by_position"][1] > seed["by_position"][3]


def test_u_follows_q(seeds: list[dict[str, Any]], counted: dict[str, Any], documents: text.Text) -> None:
    train = "".join(text.decode(document.tolist()) for document in documents.train)
    assert abs(counted["u_after_q"] - train.count("qu") / train.count("q")) < 0.02
    for seed in seeds:
        assert seed["u_after_q_before"] < 0.05 < 0.8 < seed["u_after_q"]


def test_names_are_spelled_and_read(seeds: list[dict[str, Any]]) -> None:
    for seed in seeds:
        assert tuple(seed["names_spelled"]) == text.NAMES
        first, second = (np.array(seed["name_probabilities"])[:, place] for place in (0, 1))
        exact = [0.5 if name[0] in "tfs" else 1 for name in text.NAMES]
        np.testing.assert_allclose(first, exact, rtol=0, atol=0.03)
        assert second.min() > 0.97


def test_pieces_are_those_of_a_document_and_the_state_may_be_carried() -> None:
    """Read in pieces with the state carried, a document has the logits of one pass; reset, it has others."""
    document = text.encode("many small pieces")
    inputs, targets, first = text.cut([document, document[:3]], 5)
    assert first.tolist() == [True, False, False, False, True]
    assert targets[targets != text.IGNORED].tolist() == [*document, *document[:3]]
    assert inputs[4, :3].tolist() == [text.START, *document[:2]]
    torch.manual_seed(0)
    model = text.SymbolNet(len(text.ALPHABET) + 1, 6, len(text.ALPHABET)).double()
    whole = characters.bits_of(model.float(), document)[0]
    state, parts = None, []
    for piece, target in zip(inputs[:4], targets[:4], strict=True):
        logits, state = model(piece[None], state)
        counts = target != text.IGNORED
        parts.append(F.cross_entropy(logits[0][counts], target[counts], reduction="none") / math.log(2))
    torch.testing.assert_close(torch.cat(parts), whole)
    reset = characters.bits_in_pieces(model, [document], 5)
    torch.testing.assert_close(reset[0], whole[:5])
    assert (reset[1] - whole[5:10]).abs().max() > 1e-3


def test_writing_is_seeded_and_begins_with_the_start() -> None:
    torch.manual_seed(0)
    model = text.SymbolNet(len(text.ALPHABET) + 1, 6, len(text.ALPHABET))
    one = characters.write(model, "the ", 20, 1.0, 3)
    assert one.startswith("the ")
    assert len(one) == 24
    cold = [characters.write(model, "the ", 20, 1e-40, seed) for seed in (3, 4)]
    assert cold[0] == cold[1], "always the likeliest character, and no overflow"
    assert characters.write(model, "the ", 20, 1.0, 3) == one != characters.write(model, "the ", 20, 1.0, 4)


def test_without_pydoc_data_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(InputError, match=r"pydoc_data.*use"):
        text.load_topics()


def test_run_reports_every_seed(counted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "measure", lambda documents: counted)
    result = characters.run(characters.Options(updates=1, hidden_size=1, batch_size=1, seeds=2))
    assert {len(measure.values) for measure in result.measures} == {1, 2}
    assert len(result.figure.axes) == 3


def test_exercise_read_backwards_the_names_are_certain_after_three_letters() -> None:
    """Exercise: after how many letters is the class certain if the names are read from their ends?"""
    names = [name[::-1] for name in text.NAMES]
    read, exact = text.read_names(0, names)
    certain = [int((exact[:, place] == 1).all()) for place in range(5)]
    assert certain == [0, 0, 1, 1, 1]
    assert math.isclose(float(-exact[:, 0].log2().mean()), 1.0, abs_tol=1e-6), "one bit of doubt, forwards 0.6"
    torch.testing.assert_close(read, exact, atol=0.03, rtol=0)
