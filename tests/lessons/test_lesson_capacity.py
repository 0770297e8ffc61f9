"""How many bits a trained state stores, which it loses first, and what it can hold in principle."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from mnist_lstm.lessons import capacity

SEEDS = range(2)


@pytest.fixture(scope="module")
def seeds() -> list[dict[str, Any]]:
    return [capacity.measure(capacity.Options(updates=250, batch_size=32), seed) for seed in SEEDS]


def test_more_to_read_is_not_more_kept(seeds: list[dict[str, Any]]) -> None:
    for seed in seeds:
        stored = {name: capacity.bits_stored(shares) for name, shares in seed["recall"].items()}
        for length in (8, 16, 32):
            assert 2.5 < stored[f"8 units, {length} bits"] < 5.5
        assert stored["32 units, 8 bits"] > 7.9
        for length in (16, 32):
            assert stored["8 units, 32 bits"] + 2 < stored[f"32 units, {length} bits"] < 11


def test_the_middle_is_lost_before_the_ends(seeds: list[dict[str, Any]]) -> None:
    for seed in seeds:
        for length in (16, 32):
            shares = seed["recall"][f"32 units, {length} bits"]
            middle = shares[length // 4 : -length // 4]
            assert max(middle) < 0.9 < min(shares[0], shares[-1])


def test_count_and_parity(seeds: list[dict[str, Any]]) -> None:
    for seed in seeds:
        right = seed["right"]
        assert right["count"]["32"] > 0.95
        assert max(right["count"]["16"], right["count"]["48"]) < 0.05
        assert all(0.44 < share < 0.56 for share in right["parity"].values())
        assert min(right["running"].values()) > 0.98


def test_one_bit_more_than_trained_is_not_recalled(seeds: list[dict[str, Any]]) -> None:
    for seed in seeds:
        assert seed["one_more_first"][0] > 0.9
        assert seed["one_more_last"][0] < 0.6


def test_one_unit_holds_24_bits_and_no_more() -> None:
    """The cell state is the binary fraction, by Python's own arithmetic, and rounds from the 25th bit on."""
    assert set(capacity.hand_accuracies(24)) == {1.0}
    assert capacity.hand_accuracies(25)[0] < 0.9
    bits = capacity.draw(50, 24, torch.Generator().manual_seed(1))
    _, (_, state) = capacity.by_hand()(capacity.as_input(bits))
    expected = [sum((2 * bit - 1) / 2**age for age, bit in enumerate(reversed(row))) for row in bits.tolist()]
    assert state[0, :, 0].tolist() == expected


def test_bits_stored_is_the_sum_of_mutual_informations() -> None:
    shares = [0.5, 1.0, 0.9, 0.7, 0.3]
    information = [0.0, 1.0]
    for a in (0.9, 0.7):
        joint = np.array([[a / 2, (1 - a) / 2], [(1 - a) / 2, a / 2]])
        information.append(float((joint * np.log2(joint / 0.25)).sum()))
    assert math.isclose(capacity.bits_stored(shares), sum(information), abs_tol=1e-12)


def test_recall_is_measured_on_the_last_state_by_the_equations() -> None:
    """The logits of NumPy's LSTM in fp64 are those that are measured."""
    model = capacity.train(capacity.Options(updates=3), "recall", 0, 4, 5).double()
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    bits = capacity.draw(6, 5, torch.Generator().manual_seed(2)).double()
    h = c = np.zeros((6, 4))
    for x in capacity.as_input(bits).numpy().swapaxes(0, 1):
        z = x @ weights["rnn.weight_ih_l0"].T + h @ weights["rnn.weight_hh_l0"].T
        z += weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"]
        i, f, g, o = np.split(z, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    expected = h @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(capacity.recall_logits(model, bits).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_run_reports_every_seed() -> None:
    result = capacity.run(capacity.Options(updates=1, seeds=2))
    assert {len(measure.values) for measure in result.measures} == {2}
    assert any(line.startswith("32 units, 16 bits") for line in result.lines)
    assert len(result.figure.axes) == 4


def test_exercise_with_four_times_the_updates_32_units_hold_16_bits() -> None:
    """Exercise: is 9 of 16 bits the limit of 32 units? Train them for 1,200 updates instead of 300."""
    model = capacity.train(capacity.Options(updates=1200), "recall", 0, 32, 16)
    assert capacity.bits_stored(capacity.accuracies(model, 16, 0)) > 15
