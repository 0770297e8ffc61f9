"""Simple forecasts of a noisy sine wave are as good as a small LSTM one step ahead, and better at many."""

import pytest
import torch
from torch import nn

from mnist_lstm.lessons import Result, sine


@pytest.fixture(scope="module")
def result() -> Result:
    return sine.run(sine.Options(epochs=12, seeds=3))


def test_lstm_beats_the_last_value_but_not_simple_forecasts(result: Result) -> None:
    errors = result.numbers["held_out_mse"]
    for lstm, last, eight in zip(*(errors[n][1] for n in (sine.OURS, sine.LAST, "mean of 8 values")), strict=True):
        assert eight < lstm < 0.8 * last
    for lstm, last, linear in zip(*(errors[n][64] for n in (sine.OURS, sine.LAST, sine.LONG_LINEAR)), strict=True):
        assert linear < 0.5 * last < 0.5 * lstm
    better = result.numbers["better_than_the_lstm"]
    assert better[sine.LAST] == [0, better[sine.LAST][1], 3]
    assert "0 of 3" in next(line for line in reversed(result.lines) if line.startswith(sine.LAST))


def test_errors_stay_above_the_noise_floor_unless_divided_by_the_wrong_count(result: Result) -> None:
    numbers = result.numbers
    assert numbers["train_windows"] == 596
    assert min(numbers["train_mse"]["nn.LSTM"]) > numbers["noise_floor"] == pytest.approx(0.04)
    assert max(numbers["divided_by_the_wrong_count"]) < 0.04
    for lstm, drawn in zip(*(numbers["held_out_mse"][n][1] for n in (sine.OURS, "noise as drawn")), strict=True):
        assert lstm > drawn


def test_equations_train_as_nn_lstm_does_and_their_weights_can_be_loaded(result: Result) -> None:
    numbers = result.numbers
    assert numbers["equations_held_out_mse"] == pytest.approx(numbers["held_out_mse"][sine.OURS][1], rel=0.02)
    assert numbers["train_mse"]["equations"] == pytest.approx(numbers["train_mse"]["nn.LSTM"], rel=0.02)
    assert numbers["max_difference_after_loading"] < 1e-5


def test_roll_out_feeds_forecasts_back() -> None:
    class Sum(nn.Module):
        def forward(self, windows: torch.Tensor) -> torch.Tensor:
            return windows.sum(dim=1)

    assert sine.roll_out(Sum(), torch.tensor([[1.0, 1, 1, 1]]), 3).tolist() == [[4, 7, 13]]
    assert sine.roll_out(Sum(), torch.tensor([[1.0, 1]]), 3).tolist() == [[2, 3, 5]]


def test_linear_model_continues_a_sine_wave_without_noise() -> None:
    wave = torch.sin(0.3 * torch.arange(80.0))
    windows = wave.unfold(0, 2, 1)
    forecast = sine.fit_linear(windows[:40], wave[2:42])
    torch.testing.assert_close(forecast(windows[40:-1]), wave[42:])
    torch.testing.assert_close(sine.roll_out(forecast, windows[40:41], 20)[0], wave[42:62], atol=1e-3, rtol=0)


def test_fitted_sine_finds_frequency_amplitude_and_phase() -> None:
    times = torch.arange(1, 1001)
    wave = 1.5 * torch.sin(0.02 * times + 0.7)
    torch.testing.assert_close(sine.fit_sine(wave[:600], times), wave, atol=1e-3, rtol=0)


def test_error_at_a_step_ahead_compares_with_the_value_of_that_step() -> None:
    values = torch.tensor([1.0, 2.0, 4.0])
    repeated = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])  # the last value known at each point
    assert sine._errors(repeated, values) == pytest.approx([(1 + 1 + 4) / 3, (4 + 9) / 2])
