"""The claims of the lesson `vanishing`, each for every one of several seeds, at a reduced size."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from mnist_lstm.lessons import Result, gradients, vanishing
from mnist_lstm.lessons.memory import CHANCE_LOSS, draw
from mnist_lstm.network.cells import by_equations

SEEDS = 3


@pytest.fixture(scope="module")
def result() -> Result:
    options = vanishing.Options(seeds=SEEDS, hidden_size=16, length=60, updates=1, clip_updates=1)
    return vanishing.run(options)


@pytest.fixture(scope="module")
def numbers(result: Result) -> dict[str, Any]:
    return result.numbers


def test_slopes_are_at_most_a_quarter_and_one(numbers: dict[str, Any]) -> None:
    slopes = numbers["maximum_slopes"]
    assert slopes["sigmoid"] == pytest.approx(0.25, abs=1e-4)
    assert slopes["tanh"] == pytest.approx(1, abs=1e-4)
    assert slopes["sigmoid applied 5 times"] < 0.25**5


def test_initial_weights_decide_how_fast_gradients_vanish(numbers: dict[str, Any]) -> None:
    radius, before = numbers["spectral_radius"], numbers["before"]
    for cell in ("RNN", "GRU", "LSTM"):
        assert max(radius[f"{cell}, PyTorch"]) < 0.9
        assert radius[f"{cell}, orthogonal"] == pytest.approx([1] * SEEDS, abs=1e-5)
        assert max(before[f"{cell}, PyTorch"]) < 1e-8
        for default, orthogonal in zip(before[f"{cell}, PyTorch"], before[f"{cell}, orthogonal"], strict=True):
            assert orthogonal > 100 * default
    assert min(before["RNN, orthogonal"]) > 1e-4


def test_open_gates_keep_the_gradient_in_a_gru_as_in_an_lstm(numbers: dict[str, Any]) -> None:
    for cell in ("GRU", "LSTM"):
        assert min(numbers["before"][f"{cell}, open gates"]) > 0.1
        assert max(numbers["spectral_radius"][f"{cell}, open gates"]) < 0.9, "the gates, not the weights"


def test_open_update_gates_shut_the_input_out(numbers: dict[str, Any]) -> None:
    for opened, default in zip(numbers["norms"]["GRU, open gates"], numbers["norms"]["GRU, PyTorch"], strict=True):
        assert opened[-1] < 0.1 * default[-1]


@pytest.mark.parametrize("bias", ["0", "1", "5"])
def test_other_paths_are_the_larger_part_far_away(numbers: dict[str, Any], bias: str) -> None:
    for parts in numbers["paths"][bias]:
        cell, others = parts["cell"], parts["others"]
        assert others[0] < cell[0]
        assert others[-1] > cell[-1]
        assert all(near > far for near, far in pairwise(cell))
        assert max(parts["all"][-1] - others[-1], others[-1] - parts["all"][-1]) <= cell[-1] * (1 + 1e-9)


def test_only_the_path_through_open_gates_does_not_vanish(numbers: dict[str, Any]) -> None:
    for bias, least, largest in (("0", 0, 1e-6), ("1", 0, 1e-2), ("5", 0.75, 1)):
        for parts in numbers["paths"][bias]:
            assert least < parts["cell"][-1] / parts["cell"][0] < largest


def test_large_weights_explode_far_less_through_gates(numbers: dict[str, Any]) -> None:
    rnn, gru, lstm = (numbers["exploding"][cell] for cell in ("RNN", "GRU", "LSTM"))
    assert min(rnn) > 1e4
    for seed in range(SEEDS):
        assert max(gru[seed], lstm[seed]) < 1e-2 * rnn[seed]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_few_updates_close_the_way_and_learn_nothing(seed: int) -> None:
    options = vanishing.Options()
    start = gradients.STARTS["LSTM, open gates"]
    one = gradients.measure_start(start, seed, options.length, options.updates, options)
    before, after = (one[when][0] / one[when][-1] for when in ("before", "after"))
    assert before > 0.1
    assert after < 1e-2 * before
    assert one["loss"] > 0.9 * CHANCE_LOSS


@pytest.mark.parametrize("seed", range(SEEDS))
def test_clipping_moves_the_learning_rates_that_work(seed: int) -> None:
    def loss(rate: float, limit: float) -> float:
        return gradients.train_clipped(rate, limit, updates=300, seed=seed, hidden_size=32)["loss"]

    assert loss(0.05, math.inf) < 0.5 * CHANCE_LOSS, "without clipping, a small rate learns"
    assert loss(0.2, math.inf) > 0.8 * CHANCE_LOSS, "and a larger one does not"
    assert loss(0.2, 1.0) < 0.5 * CHANCE_LOSS, "as it does with clipping"


def test_open_gates_are_biases_of_the_gates_that_keep() -> None:
    torch.manual_seed(0)
    sequences, _ = draw(5, 3, torch.Generator().manual_seed(0))
    for name, gate in (("GRU, open gates", "z"), ("LSTM, open gates", "f")):
        model, _ = gradients.build(gradients.STARTS[name], 0, 8)
        gates = by_equations(model.rnn).trace(sequences).gates[0]
        assert gates[gate].min() > 0.97, name
        assert max(values.max() for other, values in gates.items() if other in {"i", "o", "r"}) < 0.9, name


def test_gradient_norms_are_by_step() -> None:
    class LastTwo(nn.Module):
        def forward(self, sequences: torch.Tensor) -> torch.Tensor:
            return sequences[:, -2] + 3 * sequences[:, -1]

    sequences, labels = draw(4, 5, torch.Generator().manual_seed(0))
    norms = gradients.gradient_norms(LastTwo(), sequences, labels)
    assert norms[:3] == [1e-300] * 3
    assert norms[4] == pytest.approx(3 * norms[3])


def test_text_and_figures_show_the_range_over_seeds(result: Result) -> None:
    assert "3 seeds: median (lowest to highest)" in result.lines[0]
    assert set(result.more) == {"paths", "exploding"}
    for figure in (result.figure, *result.more.values()):
        for axis in figure.axes:
            assert axis.get_ylabel()
            assert axis.get_legend() is not None
