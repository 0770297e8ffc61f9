"""Gates held still and memories exchanged: the surgery changes nothing by itself, and memory is in the cell state."""

import statistics
from typing import Any

import pytest
import torch

from mnist_lstm.lessons import surgery
from mnist_lstm.network.model import RowLSTM


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    options = {"updates": 150, "hidden_size": 24, "learning_rate": 0.01, "dataset": "digits", "seeds": 3}
    return surgery.run(surgery.Options(**options)).numbers


def test_the_equations_read_as_nn_lstm_does(numbers: dict[str, Any]) -> None:
    assert max(numbers["difference_from_nn_lstm"]) < 1e-5
    assert min(numbers["accuracy"]) > 0.8


@pytest.mark.parametrize("gate", "ifo")
def test_held_as_it_was_a_gate_changes_nothing_and_closed_it_destroys(numbers: dict[str, Any], gate: str) -> None:
    assert numbers["held"][f"{gate} as it was"] == numbers["accuracy"]
    assert max(numbers["held"][f"{gate} closed"]) < 0.4


def test_the_memory_of_the_rows_is_in_the_cell_state(numbers: dict[str, Any]) -> None:
    theirs = numbers["partners_class"]
    for run in range(3):
        assert theirs["c"][run][-1] > 0.6
        assert max(theirs["h"][run][:-1]) < 0.4 < theirs["c"][run][-1]
        assert theirs["c"][run][0] < 0.3
    early, late = (statistics.median(run[k] for run in theirs["c"]) for k in (2, 5))
    assert early < late


def test_states_of_the_partner_are_taken_over() -> None:
    """With both states of the partner after the last row, the answer is the partner's."""
    torch.manual_seed(0)
    model = RowLSTM(hidden_size=6, bidirectional=False).eval()
    images = torch.randn(5, 28, 28)
    partners = torch.tensor([3, 0, 4, 1, 2])
    with torch.inference_mode():
        plain, gates, _ = surgery.read(model, images)
        torch.testing.assert_close(plain, model(images))
        both = surgery.read(model, images, swap_after=28, swap="ch", partners=partners)[0]
        torch.testing.assert_close(both, plain[partners])
        closed = surgery.read(model, images, surgery.holding("f", "closed", gates))[2]
        assert closed.abs().max() <= 1, "without an old cell state, c is one step's i * g"
