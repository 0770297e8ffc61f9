"""Gated cells learn sooner than a plain RNN, also at the RNN's best learning rate."""

from typing import Any

import pytest
import torch

from mnist_lstm.errors import InputError
from mnist_lstm.lessons import cells

REDUCED: dict[str, Any] = {"updates": 67, "hidden_size": 24, "learning_rate": 0.01, "dataset": "digits", "seeds": 2}


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return cells.run(cells.Options(**REDUCED, rnn_learning_rates=(0.003, 0.01))).numbers


def test_cells_have_the_expected_sizes(numbers: dict[str, Any]) -> None:
    weights = numbers["weights"]
    head = 24 * 10 + 10
    recurrent = {name: weights[name] - head for name in ("RNN", "GRU", "LSTM")}
    assert recurrent["GRU"] == 3 * recurrent["RNN"]
    assert recurrent["LSTM"] == 4 * recurrent["RNN"]
    assert recurrent["LSTM"] * 2 == weights["bidirectional LSTM"] - (2 * 24 * 10 + 10)
    assert max(numbers["max_relative_error"].values()) < 1e-5


def test_gated_cells_learn_sooner_than_an_rnn_at_its_best_rate(numbers: dict[str, Any]) -> None:
    for name in ("GRU", "LSTM"):
        assert min(numbers["accuracy"][name]) > 0.7
    assert numbers["seeds_with_rnn_behind"] == REDUCED["seeds"]
    assert {curve[-1][0] for tries in numbers["curves"].values() for curve in tries} == {REDUCED["updates"]}
    assert {len(tries) for tries in numbers["curves"].values()} == {REDUCED["seeds"]}


def test_rnn_is_judged_by_the_best_of_its_learning_rates(numbers: dict[str, Any]) -> None:
    by_rate = numbers["rnn_accuracy_by_learning_rate"]
    best = max(by_rate.values(), key=sum)  # of two seeds, the median is the mean
    assert numbers["accuracy"]["RNN"] == best == by_rate[str(numbers["rnn_learning_rate"])]


def test_only_an_lstm_runs_on_onednn() -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of PyTorch has no oneDNN")
    images = torch.rand(2, 28, 28)
    called = {}
    for name in ("RNN", "GRU", "LSTM"):
        model = cells._build(cells.Options(hidden_size=4), 0, name)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            model(images)
        called[name] = any("mkldnn_rnn_layer" in event.key for event in profile.key_averages())
    assert called == {"RNN": False, "GRU": False, "LSTM": True}


@pytest.mark.parametrize("rates", [(), (0.01, 0.01)])
def test_learning_rates_must_be_given_and_differ(rates: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="--rnn_learning_rates: "):
        cells.run(cells.Options(dataset="digits", rnn_learning_rates=rates))
