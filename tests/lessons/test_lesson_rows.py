"""What each row remembers: gradients by row, against NumPy, against blanked rows, and their order by cell."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lstm.data.format import PAPER
from mnist_lstm.lessons import Result, rows
from mnist_lstm.lessons.digits import batches, load_train_and_val, train_on_batches
from mnist_lstm.network.model import RowLSTM

SEEDS = 3
REDUCED: dict[str, Any] = {"dataset": "digits", "hidden_size": 24}


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "READ", 60)
        return rows.run(rows.Options(**REDUCED, updates=100, seeds=SEEDS))


@pytest.fixture(scope="module")
def networks(result: Result) -> rows.Numbers:
    numbers: rows.Numbers = result.numbers["networks"]
    return numbers


def build(cell: str, **options: Any) -> RowLSTM:
    torch.manual_seed(0)
    return RowLSTM(cell=cell, hidden_size=5, bidirectional=False, **options)


def test_rows_that_were_not_read_yet_have_no_gradient(networks: rows.Numbers) -> None:
    for values in networks.values():
        assert values["above_diagonal"] == [0.0] * SEEDS


def test_untrained_networks_look_back_a_few_rows(networks: rows.Numbers) -> None:
    for seed in range(SEEDS):
        rnn, gru, lstm = (networks[f"{cell}, untrained"]["distance"][seed] for cell in rows.CELLS)
        assert max(rnn, gru) < 3.5 < lstm < 8


def test_training_extends_the_reach_least_far_in_the_rnn_and_furthest_in_the_lstm(networks: rows.Numbers) -> None:
    for key in ("distance", "effect_distance"):
        for seed in range(SEEDS):
            before, after = ([networks[f"{cell}, {time}"][key][seed] for cell in rows.CELLS] for time in rows.TIMES)
            assert all(a > b for a, b in zip(after, before, strict=True)), (key, seed)
            assert after[0] < after[1] < after[2], (key, seed)
    for lstm in networks["LSTM, trained"]["distance"]:
        assert 10 < lstm < 15


def test_blank_rows_have_a_gradient_and_no_effect(networks: rows.Numbers) -> None:
    for cell in rows.CELLS:
        trained = networks[f"{cell}, trained"]
        assert min(trained["on_blank_rows"]) > 0.2
        assert trained["effect_on_blank_rows"] == [0.0] * SEEDS


def test_gradient_times_change_follows_the_mean_effect_and_the_norm_does_not(networks: rows.Numbers) -> None:
    for cell in rows.CELLS:
        trained = networks[f"{cell}, trained"]
        assert min(trained["estimate_and_effect"]) > 0.7
        assert max(trained["norm_and_effect"]) < 0.7
        assert max(trained["single_estimate_and_effect"]) < 0.75


def test_measures_have_one_value_per_seed(result: Result) -> None:
    assert all(len(measure.values) == SEEDS for measure in result.measures)


def test_gradients_of_an_rnn_equal_products_of_jacobians() -> None:
    model = build("rnn").double()
    images = torch.randn(3, 28, 28, dtype=torch.float64)
    seen = rows.influence(model, images)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    matrix = np.zeros((28, 28))
    for digit in images.numpy():
        h, states = np.zeros(5), []
        for row in digit:
            h = np.tanh(weights["rnn.weight_ih_l0"] @ row + weights["rnn.weight_hh_l0"] @ h)
            states.append(h)
        answer = int(np.argmax(weights["head.weight"] @ h + weights["head.bias"]))
        for t in range(28):
            logits = weights["head.weight"] @ states[t] + weights["head.bias"]
            others = np.delete(np.exp(logits - logits.max()), answer)
            slope = -np.insert(others / others.sum(), answer, -1.0)  # of the log-odds by the logits
            back = slope @ weights["head.weight"]
            for s in range(t, -1, -1):
                at_sum = back * (1 - states[s] ** 2)
                matrix[t, s] += np.linalg.norm(at_sum @ weights["rnn.weight_ih_l0"]) / 3
                back = at_sum @ weights["rnn.weight_hh_l0"]
    np.testing.assert_allclose(seen.matrix.numpy(), matrix, rtol=0, atol=1e-12)
    torch.testing.assert_close(seen.norms.mean(dim=0), seen.matrix[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_estimate_is_the_effect_of_a_small_change(cell: str) -> None:
    """Rows close to blank paper: a change so small that the gradient is all there is."""
    model = build(cell).double()
    ink = torch.rand(2, 28, 28, dtype=torch.float64)
    ink[:, 20:] = 0
    seen = rows.influence(model, PAPER + 1e-6 * ink)
    assert float(seen.effects.abs().max()) > 1e-9
    torch.testing.assert_close(seen.estimates, seen.effects, rtol=1e-3, atol=1e-11)
    assert seen.blank.tolist() == [[False] * 20 + [True] * 8] * 2
    assert float(seen.effects[:, 20:].abs().max()) == 0


def test_log_odds_are_of_the_probability() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    for label, p in enumerate(logits.softmax(dim=1)[0].tolist()):
        assert float(rows.log_odds(logits, torch.tensor([label]))) == pytest.approx(math.log(p / (1 - p)), abs=1e-12)


def test_distances_of_known_profiles() -> None:
    even, last = torch.ones(28), torch.zeros(28)
    last[-1] = 2
    assert rows.mean_distance(even) == pytest.approx(13.5)
    assert rows.mean_distance(last) == 0
    falling = 2.0**-rows.DISTANCES
    assert [rows.reach(falling, share) for share in (1, 0.5, 0.1)] == [0, 1, 3]
    assert rows.correlation(even, last) == 0
    assert rows.correlation(last, 3 - last) == pytest.approx(-1)


def test_exercise_an_rnn_trained_longer_reads_better_and_still_looks_back_less_far(result: Result) -> None:
    """Four times as many updates as the LSTM."""
    train, val, _ = load_train_and_val(rows.Options(**REDUCED))
    for seed in range(2):
        torch.manual_seed(seed)
        model = RowLSTM(cell="rnn", hidden_size=24, bidirectional=False)
        drawn = batches(len(train[1]), 400, 64, seed)
        training = train_on_batches({"RNN": model}, train, val, drawn, 0.003, checks=1)
        assert training.final["RNN"] > result.numbers["accuracy"]["RNN"][seed]
        distance = rows.mean_distance(rows.influence(model, val[0][:60]).matrix[-1])
        assert distance < result.numbers["networks"]["LSTM, trained"]["distance"][seed] - 1
