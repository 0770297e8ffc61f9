"""An LSTM without output gate becomes a GRU by four changes, and only the LSTM counts beyond its training."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mnist_lstm.lessons import Result, gru
from mnist_lstm.lessons.gru import CELLS, CHANGES, Counter, Options

SMALL = Options(length=20, updates=250, hidden_size=6, learning_rate=0.03, seeds=3)


@pytest.fixture(scope="module")
def result() -> Result:
    return gru.run(SMALL)


@pytest.fixture(scope="module")
def numbers(result: Result) -> dict[str, Any]:
    return result.numbers


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_only_all_four_changes_give_nn_gru(numbers: dict[str, Any]) -> None:
    after = numbers["difference_after"]
    assert list(after) == ["no change", *CHANGES]
    assert max(after[CHANGES[-1]]) < 1e-12
    assert min(min(values) for name, values in after.items() if name != CHANGES[-1]) > 0.01
    assert min(min(values) for values in numbers["difference_without"].values()) > 0.01


def test_without_a_change_it_is_nn_lstm_with_its_output_gate_at_1() -> None:
    torch.manual_seed(1)
    theirs, lstm = nn.GRU(4, 5).double(), nn.LSTM(4, 5).double()
    gru.hold_output_gate_open(lstm)
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            weight[:15] = theirs.get_parameter(name)
    sequence = torch.randn(30, 4, dtype=torch.float64)
    ours = gru.read(dict(theirs.named_parameters()), sequence, ())
    torch.testing.assert_close(ours["h"], lstm(sequence)[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(ours["c"][-1:], lstm(sequence)[1][1], rtol=0, atol=1e-12)


def test_the_changed_lstm_is_a_gru_in_numpy() -> None:
    torch.manual_seed(2)
    layer = nn.GRU(3, 4).double()
    w, u, b, d = (weight.detach().numpy() for _, weight in layer.named_parameters())
    sequence = torch.randn(20, 3, dtype=torch.float64)
    h = np.zeros(4)
    expected = []
    for x in sequence.numpy():
        x_r, x_z, x_n = np.split(w @ x + b, 3)
        h_r, h_z, h_n = np.split(u @ h + d, 3)
        z = sigmoid(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
        expected.append(h)
    ours = gru.read(dict(layer.named_parameters()), sequence, CHANGES)["h"].detach().numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_a_gru_stays_within_1_and_an_lstm_does_not(numbers: dict[str, Any]) -> None:
    for one in numbers["largest_states"]:
        assert one["h of a GRU"] <= 1
        assert one["c of an LSTM"] > 3


def test_a_held_output_gate_is_not_trained() -> None:
    options = Options(length=6, updates=5, hidden_size=3)
    model = gru.train("LSTM without output gate", 0, options)
    start = Counter("LSTM without output gate", 3, options.keep_bias)
    for name, weight in model.rnn.named_parameters():
        assert torch.equal(weight[9:], start.rnn.get_parameter(name)[9:])
        assert not torch.equal(weight[6:9], start.rnn.get_parameter(name)[6:9])


def test_number_of_weights_without_an_output_gate_is_that_of_a_gru(numbers: dict[str, Any]) -> None:
    for cell, layer in (("LSTM", nn.LSTM(2, 6)), ("GRU", nn.GRU(2, 6))):
        assert numbers["weights"][cell] == sum(weight.numel() for weight in layer.parameters())
    assert numbers["weights"]["LSTM without output gate"] == numbers["weights"]["GRU"]


def test_answers_compare_the_numbers_of_a_and_b() -> None:
    marks, answers = gru.draw(40, 15, torch.Generator().manual_seed(0))
    for sequence, row in zip(marks.tolist(), answers.tolist(), strict=True):
        for end in range(1, 16):
            a = sum(sequence[:end])
            assert row[end - 1] == 1 + (a > end - a) - (a < end - a)
    assert set(answers.flatten().tolist()) == {0, 1, 2}


@pytest.mark.parametrize("cell", CELLS)
def test_all_learn_the_task_at_the_training_length(numbers: dict[str, Any], cell: str) -> None:
    assert min(numbers["share_correct"][cell]) > 0.95
    five = gru.NUMBERS.index(5)
    assert all(abs(counts[five] - 5) <= 1 for counts in numbers["counted"][cell])


def test_lstms_count_further_than_a_gru_and_not_exactly(numbers: dict[str, Any]) -> None:
    eighty = gru.NUMBERS.index(80)
    counted = {cell: [counts[eighty] for counts in numbers["counted"][cell]] for cell in CELLS}
    for seed in range(3):
        for cell in CELLS[:2]:
            assert counted[cell][seed] > 1.3 * counted["GRU"][seed]
    assert max(counted["GRU"]) < 2 * SMALL.length


def test_counted_is_where_more_ends() -> None:
    class Fixed(Counter):
        def forward(self, marks: torch.Tensor) -> torch.Tensor:
            excess = (2 * marks - 1).cumsum(dim=1)
            return nn.functional.one_hot(excess.sign() + 1, 3).float()

    assert gru.counted(Fixed("GRU", 1, 0.0), 7) == 7
    always_more = Fixed("GRU", 1, 0.0)
    always_more.forward = lambda marks: torch.tensor([0.0, 0.0, 1.0]).expand(*marks.shape, 3)  # type: ignore[method-assign]
    assert gru.counted(always_more, 7) == 15


@pytest.mark.parametrize("n", [1, 10, 1000])
@pytest.mark.parametrize("z", [0.9, 0.977])
def test_exercise_a_unit_of_a_gru_counts_to_ln_2_over_minus_ln_z_at_most(n: int, z: float) -> None:
    """Exercise: a unit goes towards 1 with a and towards -1 with b, with the same z. How many b undo n times a?

    ln(2 - z^n) / -ln z, at most ln 2 / -ln z: with z = 0.977 no more than 30, whether it saw 100 a or 1,000.
    """
    h = 0.0
    for _ in range(n):
        h = (1 - z) + z * h
    assert h == pytest.approx(1 - z**n, rel=1e-12)
    steps = 0
    while h > 0:
        h = -(1 - z) + z * h
        steps += 1
    needed = math.log(2 - z**n) / -math.log(z)
    assert needed <= steps < needed + 1 + 1e-9
    assert needed <= math.log(2) / -math.log(z)
    assert steps <= {0.9: 7, 0.977: 30}[z]
