"""Truncated back-propagation learns a near cue, and not a far one; the whole gradient learns both."""

import pytest
import torch

from mnist_lstm.lessons import Result, bptt
from mnist_lstm.lessons.memory import SOLVED, is_solved
from mnist_lstm.network.model import RowLSTM


@pytest.fixture(scope="module")
def result() -> Result:
    return bptt.run(
        bptt.Options(length=24, piece=6, updates=250, hidden_size=24, learning_rate=0.01, forget_bias=2, seeds=3)
    )


def test_truncated_gradients_learn_only_the_near_cue(result: Result) -> None:
    losses = result.numbers["losses"]
    for learnt in (losses["near"]["whole"], losses["near"]["truncated"], losses["far"]["whole"]):
        assert len(learnt) == 3
        assert max(learnt) < 0.5
    assert min(losses["far"]["truncated"]) > 1
    kept = result.numbers["bytes_kept"]
    assert kept["truncated"] < 0.6 * kept["whole"]


def test_table_and_figure_show_every_seed(result: Result) -> None:
    header, *rows = result.lines[:5]
    assert header.split()[0] == "cue"
    assert [row.split()[0] for row in rows] == ["3", "3", "23", "23"], "steps before the end"
    far_truncated = sorted(result.numbers["losses"]["far"]["truncated"])
    assert "{1:.3f} ({0:.3f} to {2:.3f})".format(*far_truncated) in rows[3]
    assert "0 of 3" in rows[3]
    for axis in result.figure.axes:
        assert len(axis.lines) == 2 * 3 + 1, "each gradient and seed, and the chance level"
        assert len(axis.get_legend().get_texts()) == 2


def test_solved_is_the_mean_of_the_last_ten_losses() -> None:
    assert not is_solved([0.0] * 9), "too few"
    assert is_solved([1.0] * 20 + [SOLVED / 2] * 10)
    assert not is_solved([SOLVED / 2] * 20 + [1.0] * 2)


@pytest.mark.parametrize("piece", [2, 3, 5, 7])
def test_truncation_changes_gradients_but_not_outputs(piece: int) -> None:
    torch.manual_seed(0)
    model = RowLSTM(input_size=4, hidden_size=8, num_classes=4, bidirectional=False)
    sequences = torch.randn(3, 7, 4, requires_grad=True)
    whole, cut = (bptt.forward(model, sequences, size) for size in (7, piece))
    torch.testing.assert_close(cut, whole)
    (gradient,) = torch.autograd.grad(cut.sum(), sequences)
    assert not gradient[:, :-piece].any()
    assert gradient[:, -piece:].abs().sum(dim=(0, 2)).min() > 0
