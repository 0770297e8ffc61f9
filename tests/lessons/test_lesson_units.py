"""What drives a unit: favourites hold on other digits, those of shuffled labels do not, and controls have them too."""

import statistics
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_lstm.lessons import Result, rows, selectivity, units
from mnist_lstm.network.model import RowLSTM

SEEDS = 3


@pytest.fixture(scope="module")
def result() -> Result:
    options = {"dataset": "digits", "updates": 120, "hidden_size": 24, "learning_rate": 0.01, "seeds": SEEDS}
    return units.run(units.Options(**options))


@pytest.fixture(scope="module")
def numbers(result: Result) -> dict[str, Any]:
    return result.numbers


def test_favourites_hold_on_other_digits_and_most_of_it_without_training(numbers: dict[str, Any]) -> None:
    trained, untrained = (numbers["units"][source]["held_out"] for source in ("trained", "untrained"))
    assert 1 < statistics.median(untrained) < statistics.median(trained)
    assert statistics.median(untrained) > 2 / 3 * statistics.median(trained)
    assert min(numbers["units"]["pixels"]["held_out"]) > 0.5


def test_shuffled_labels_have_favourites_that_do_not_hold(numbers: dict[str, Any]) -> None:
    assert numbers["digits"] == [50, 90]
    for chosen, held_out in zip(*(numbers[key]["shuffled labels"] for key in ("chosen", "held_out")), strict=True):
        assert chosen[0] > 1
        assert max(map(abs, held_out)) < 0.5


def test_few_units_detect_their_class(numbers: dict[str, Any]) -> None:
    trained = numbers["units"]["trained"]
    assert max(trained["detectors"]) < 0.2
    assert min(trained["holds"]) > 0.6, "although their favourites hold"


def test_a_favourite_says_little_about_what_a_unit_is_for(numbers: dict[str, Any]) -> None:
    still = numbers["still"]
    for own, other, most in zip(still["own_class"], still["other_classes"], still["loses_most"], strict=True):
        assert own > other > 0
        assert most < 0.5
    assert max(map(abs, still["selectivity_and_loss"])) < 0.5


def test_measures_have_one_value_per_seed(result: Result) -> None:
    assert all(len(measure.values) == SEEDS for measure in result.measures)


def planted() -> tuple[Tensor, Tensor]:
    """Return activations ``(200, 28, 4)``, labels: unit 0 likes a 3 at row 7, unit 1 is constant, two are noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 10
    values = torch.randn(200, 28, 4, generator=generator, dtype=torch.float64)
    values[:, :, 1] = 0.3
    values[labels == 3, 7, 0] += 10
    return values, labels


def test_selectivity_equals_numpy() -> None:
    values, labels = planted()
    found = selectivity.selectivity(values, labels).numpy()
    array, mean, deviation = values.numpy(), values.numpy().mean(axis=0), values.numpy().std(axis=0)
    for label in range(10):
        expected = (array[labels.numpy() == label].mean(axis=0) - mean)[:, [0, 2, 3]] / deviation[:, [0, 2, 3]]
        np.testing.assert_allclose(found[label][:, [0, 2, 3]], expected, rtol=0, atol=1e-12)
    assert (found[:, :, 1] == 0).all(), "a unit that never changes has no selectivity"
    assert (selectivity.selectivity(values, labels.clamp(max=8))[9] == 0).all(), "nor has a class without digits"


def test_a_planted_favourite_is_found_and_detects_its_class() -> None:
    values, labels = planted()
    half = selectivity.selectivity(values[:100], labels[:100])
    favourites = selectivity.choose(half)
    assert (int(favourites.classes[0]), int(favourites.rows[0])) == (3, 7)
    torch.testing.assert_close(selectivity.at(half, favourites), favourites.values, rtol=0, atol=0)
    top, all_of_class = selectivity.shares(favourites, values[100:], labels[100:])
    assert (float(top[0]), float(all_of_class[0])) == (1, 1)
    assert float(all_of_class[2]) < 0.5


def test_the_best_pictures_may_all_be_of_a_class_that_most_others_are_not() -> None:
    """Ten digits of class 0 excite the unit most, and ninety of them least."""
    labels = (torch.arange(1000) >= 100).long()
    values = torch.cat([torch.full((10,), 2.0), torch.full((90,), -1.0), torch.zeros(900)]).reshape(-1, 1, 1)
    zero = torch.zeros(1, dtype=torch.long)
    top, all_of_class = selectivity.shares(selectivity.Favourites(zero, zero, torch.ones(1)), values, labels)
    assert (float(top), float(all_of_class)) == (1, pytest.approx(0.1))


def test_holding_a_unit_equals_nn_lstm_read_row_by_row() -> None:
    torch.manual_seed(0)
    model = RowLSTM(hidden_size=3, bidirectional=False).double()
    images = torch.randn(20, 28, 28, dtype=torch.float64)
    labels, still = torch.arange(20) % 10, torch.rand(28, 3, dtype=torch.float64)
    found = selectivity.hold_each(model, (images, labels), still)
    with torch.no_grad():
        for unit in range(3):
            state = (torch.zeros(1, 20, 3, dtype=torch.float64),) * 2
            for row in range(28):
                h, c = model.rnn(images[:, row : row + 1], state)[1]
                h[0, :, unit] = still[row, unit]
                state = (h, c)
            fall = rows.log_odds(model(images), labels) - rows.log_odds(model.head(state[0][0]), labels)
            expected = torch.stack([fall[labels == label].mean() for label in range(10)])
            torch.testing.assert_close(found[unit], expected, rtol=0, atol=1e-12)


def test_portraits_are_of_different_classes_and_chosen_without_the_held_out_digits() -> None:
    values, labels = planted()
    favourites = selectivity.choose(selectivity.selectivity(values[:100], labels[:100]))
    nothing = torch.zeros(10, 28, 4)  # whatever the held-out digits say
    portraits = selectivity.portray(favourites, nothing, values[100:], values[100:, :, :1], labels[100:], 2)
    assert (portraits[0].unit, portraits[0].label, portraits[0].row) == (0, 3, 7)
    assert portraits[0].labels == [3] * 9
    assert len({portrait.label for portrait in portraits}) == 2


def test_exercise_the_bias_halves_with_four_times_as_many_digits() -> None:
    """An error of a mean falls with the root of the number: noise without any favourite."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1600, 28, 40, generator=generator)
    labels = torch.arange(1600) % 10
    few, more, most = (
        float(selectivity.choose(selectivity.selectivity(values[:number], labels[:number])).values.median())
        for number in (100, 400, 1600)
    )
    assert more / few == pytest.approx(0.5, abs=0.07)
    assert most / more == pytest.approx(0.5, abs=0.07)
