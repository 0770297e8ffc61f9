"""A network with an initial forget bias of 5 learns to remember sooner than one with 1, and one with 0 not at all."""

import pytest

from mnist_lstm.lessons import Result, forget_bias
from mnist_lstm.lessons.forget_bias import Options

STEPS = 200


@pytest.fixture(scope="module")
def result() -> Result:
    options = Options(length=12, seeds=3, updates=STEPS, hidden_size=16, learning_rate=0.01)
    return forget_bias.run(options)


def test_larger_forget_bias_solves_sooner_in_every_seed(result: Result) -> None:
    updates = result.numbers["updates_until_solved"]
    assert updates["0.0"] == [None] * 3
    for one, five in zip(updates["1.0"], updates["5.0"], strict=True):
        assert five < (one or STEPS)


def test_unsolved_seeds_count_as_more_than_the_maximum(result: Result) -> None:
    _, _, header, zero, _, five = result.lines
    assert header.endswith("updates: median (lowest to highest)")
    assert zero.split()[2:] == ["0", "of", "3", ">", str(STEPS)]
    low, median, high = sorted(result.numbers["updates_until_solved"]["5.0"])
    assert five.endswith(f"{median} ({low} to {high})")
    assert " 3 of 3 " in five


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([139], "139"),
        ([246, 139, None], "246 (139 to > 600)"),
        ([None, 139, None], "> 600 (139 to > 600)"),
        ([100, None], "> 600 (100 to > 600)"),
        ([None, None], "> 600"),
    ],
)
def test_spread_of_updates(counts: list[int | None], text: str) -> None:
    assert forget_bias.spread_of_updates(counts, 600) == text
