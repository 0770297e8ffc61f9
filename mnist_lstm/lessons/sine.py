"""Forecasting a noisy sine wave: an LSTM against forecasts that cost nothing. Here they win.

The data are sin(0.01 t) for t = 1 to 1,000 plus Gaussian noise of standard deviation 0.2. An LSTM of 20 units reads a
window of four values as four steps of one value; a linear layer on its last hidden state predicts the fifth. The first
600 points, which make 596 windows, are for training; the rest is held out.

The noise of the next point is unpredictable. So no forecast of points that were not memorised has a mean squared error
(MSE) below its variance, 0.2 * 0.2 = 0.04, except by chance: the noise floor. A training loss reported far below it
means that the noise was memorised, for which 20 units are too few, or that a sum was divided by the wrong number: the
batches' mean losses, say, by the number of examples instead of batches.

An error says little without the error of something simple on the same points. The forecasts here are

    last value     the next value is the last one: it has the noise of both points, about 2 * 0.04 = 0.08
    mean           of the last four values, whose own noise is 0.04 / 4, so about 0.05; and of eight
    linear         a linear autoregression, a weighted sum of the window's values, by least squares; of 4 and of 64
    sine fitted    by least squares to the training data: it knows that there is a sine wave, and finds its frequency

Several steps ahead, LSTM and linear model read their own forecasts. Each step's error is in the next step's input.

Over seeds 0 to 9, in the median: one step ahead the LSTM's error is 0.055. It is below that of the last value, 0.080,
in every seed, but the mean of the same four values is better in five of ten, the linear model of four in eight (0.052
both), and the mean of eight in all (0.047). 64 steps ahead the LSTM is worse in every seed, 0.50, than to repeat the
last value, 0.28, while the linear model of 64 values has 0.063. So on this task this LSTM does not earn its place.

The reason is the data. A sine wave follows x(t) = 2 cos(0.01) x(t - 1) - x(t - 2), which is linear: there is little for
the gates to do but to average noise, and four noisy values hold hardly any phase. Try simple forecasts first, and an
LSTM where they fail, as on the digits of other lessons.

The LSTM is trained twice, as equations and as `nn.LSTM`, from the same initial weights. The weights learnt by the first
are then loaded into an `nn.LSTM`. The experiment is that of Zhang et al. 2023, "Dive into Deep Learning", section
9.1, with an LSTM beside a linear model.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.console import track
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.options import Ahead, Count, Rate, Size, Spread
from mnist_lstm.network.cells import LSTM
from mnist_lstm.plots.style import CURVES, draw_band, finish

POINTS, TRAINED = 1000, 600  # points in all, and points for training
TAU, LONG = 4, 64  # values in a window, and in the longer window of a linear model
TRAIN_WINDOWS, BATCH_SIZE = TRAINED - TAU, 32
OURS, LAST, SHORT_LINEAR, LONG_LINEAR = "LSTM, 4 values", "last value", "linear, 4 values", "linear, 64 values"
DRAWN = (OURS, LONG_LINEAR, SHORT_LINEAR, LAST)  # in the figure
FREQUENCIES = torch.linspace(0.002, 0.05, 481)  # radians per point that the fit of a sine tries

QUICK = {"seeds": 1}

Forecast = Callable[[Tensor], Tensor]
"""A function from windows ``(N, values)`` to the values after them, ``(N,)``."""


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        noise: Standard deviation of the noise.
        hidden_size: Units of the LSTM.
        epochs: Passes over the 596 windows.
        learning_rate: Learning rate of Adam.
        ahead: Steps ahead of the longest forecast, up to 400.
        seeds: Number of seeds, 0, 1, 2 and so on, of noise, weights and batches.
    """

    noise: Spread = 0.2
    hidden_size: Size = 20
    epochs: Count = 20
    learning_rate: Rate = 0.01
    ahead: Ahead = 64
    seeds: Count = 5


class Forecaster(nn.Module):
    """Predict the value after a window, ``(N, TAU)`` to ``(N,)``."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Read each window from its oldest value to its latest, one value per step."""
        outputs: Tensor = self.rnn(windows.unsqueeze(2))[0]  # (N, TAU, H)
        forecast: Tensor = self.head(outputs[:, -1]).squeeze(1)
        return forecast


class Trial(NamedTuple):
    """Records of one seed; errors are mean squared errors."""

    values: Tensor  # (POINTS,)
    forecasts: dict[str, Tensor]  # (held-out points, steps ahead), the first row from the end of the training data
    errors: dict[str, list[float]]  # on the held-out points, by steps ahead
    train_errors: dict[str, float]  # of the two LSTMs
    equations_error: float  # one step ahead
    difference: float  # largest, of forecasts before and after the weights are loaded into another network


def run(options: Options) -> Result:
    """Train two forecasters from each seed and compare them with simpler ones and the noise floor."""
    trials = [_try(options, seed) for seed in track(range(options.seeds), "training")]
    horizons = sorted({1, min(16, options.ahead), options.ahead})
    errors = {name: [trial.errors[name] for trial in trials] for name in trials[0].errors}  # name: (seeds, steps)
    at = {name: {steps: [e[steps - 1] for e in tries] for steps in horizons} for name, tries in errors.items()}
    train = {name: [trial.train_errors[name] for trial in trials] for name in trials[0].train_errors}
    equations = [trial.equations_error for trial in trials]
    wrong = [error * math.ceil(TRAIN_WINDOWS / BATCH_SIZE) / TRAIN_WINDOWS for error in train["nn.LSTM"]]
    difference = max(trial.difference for trial in trials)
    better = {
        name: [sum(a < b for a, b in zip(at[name][steps], at[OURS][steps], strict=True)) for steps in horizons]
        for name in at
        if name not in (OURS, "noise as drawn")
    }
    ahead = [f"{steps} ahead" for steps in horizons]
    lines = [
        f"{options.seeds} seeds: median (lowest to highest); noise floor {options.noise**2:.4f}",
        "",
        *table(["held-out MSE", *ahead], [[n, *(spread(e, ".3f") for e in by.values())] for n, by in at.items()]),
        "",
        *table(
            ["seeds in which it beats the LSTM", *ahead],
            [[name, *(f"{count} of {options.seeds}" for count in counts)] for name, counts in better.items()],
        ),
        "",
        f"nn.LSTM:   training {spread(train['nn.LSTM'], '.4f')}, held out {spread(at[OURS][1], '.4f')}",
        f"equations: training {spread(train['equations'], '.4f')}, held out {spread(equations, '.4f')}",
        f"max difference of the forecasts after loading the equations' weights into nn.LSTM: {difference:.1e}",
        f"the training error divided by examples instead of batches would be {spread(wrong, '.4f')}",
    ]
    numbers: dict[str, Any] = {"noise_floor": options.noise**2, "train_windows": TRAIN_WINDOWS, "train_mse": train}
    numbers |= {"held_out_mse": at, "equations_held_out_mse": equations, "better_than_the_lstm": better}
    numbers |= {"max_difference_after_loading": difference, "divided_by_the_wrong_count": wrong}
    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    _draw_forecasts(left, trials[0])
    _draw_errors(right, errors, options.noise**2)
    shown = {
        1: (OURS, LAST, "mean of 4 values", "mean of 8 values", LONG_LINEAR),
        options.ahead: (OURS, LAST, LONG_LINEAR),
    }
    measures = [
        Measure(f"held-out MSE {steps} ahead, {name}", at[name][steps])
        for steps, names in shown.items()
        for name in names
    ]
    return Result(lines, numbers, figure, measures=measures)


def _try(options: Options, seed: int) -> Trial:
    torch.manual_seed(seed)
    times = torch.arange(1, POINTS + 1)
    wave = torch.sin(0.01 * times)
    values = wave + options.noise * torch.randn(POINTS)
    windows, targets, held_out = _split(values, TAU)
    *known, long = _split(values, LONG)

    model = Forecaster(options.hidden_size)
    equations = copy.deepcopy(model)
    equations.rnn = LSTM.like(model.rnn)  # type: ignore[assignment]
    for each in (model, equations):
        _train(each, windows, targets, options, seed)
    loaded = Forecaster(options.hidden_size)
    loaded.load_state_dict(equations.state_dict())

    def at_any_step(series: Tensor) -> Tensor:
        # a forecast of each point that is the same at any number of steps ahead
        return F.pad(series[TRAINED:], (0, options.ahead - 1)).unfold(0, options.ahead, 1)

    with torch.no_grad():
        of_equations = equations(held_out)
        forecasts = {
            LAST: held_out[:, -1:].expand(-1, options.ahead),
            "mean of 4 values": held_out.mean(dim=1, keepdim=True).expand(-1, options.ahead),
            "mean of 8 values": long[:, -8:].mean(dim=1, keepdim=True).expand(-1, options.ahead),
            SHORT_LINEAR: roll_out(fit_linear(windows, targets), held_out, options.ahead),
            OURS: roll_out(model, held_out, options.ahead),
            LONG_LINEAR: roll_out(fit_linear(*known), long, options.ahead),
            "sine fitted": at_any_step(fit_sine(values[:TRAINED], times)),
            "noise as drawn": at_any_step(wave),
        }
        return Trial(
            values,
            forecasts,
            {name: _errors(forecast, values[TRAINED:]) for name, forecast in forecasts.items()},
            {
                name: F.mse_loss(each(windows), targets).item()
                for name, each in (("nn.LSTM", model), ("equations", equations))
            },
            F.mse_loss(of_equations, values[TRAINED:]).item(),
            float((loaded(held_out) - of_equations).abs().max()),
        )


def _split(values: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return training windows ``(TRAINED - size, size)``, the values after them, and the held-out windows."""
    windows, first = values.unfold(0, size, 1)[:-1], TRAINED - size
    return windows[:first], values[size:TRAINED], windows[first:]


def fit_linear(windows: Tensor, targets: Tensor) -> Forecast:
    """Fit the values after windows by a weighted sum of the windows' values and a constant, by least squares."""

    def with_constant(windows: Tensor) -> Tensor:
        return F.pad(windows, (0, 1), value=1.0).double()

    weights = torch.linalg.lstsq(with_constant(windows), targets.double().unsqueeze(1)).solution
    return lambda windows: (with_constant(windows) @ weights).squeeze(1).to(windows.dtype)


def fit_sine(values: Tensor, times: Tensor) -> Tensor:
    """Fit a sine wave of any phase and amplitude to the values of the first times; return it at all times."""
    phases = FREQUENCIES.double()[:, None] * times  # (frequencies, times)
    waves = torch.stack([phases.sin(), phases.cos()], dim=2)
    known, targets = waves[:, : len(values)], values.double()[:, None].expand(len(waves), -1, 1)
    fitted: Tensor = waves @ torch.linalg.lstsq(known, targets).solution  # (frequencies, times, 1)
    errors = (fitted[:, : len(values)] - targets).square().mean(dim=(1, 2))
    return fitted[errors.argmin(), :, 0].to(values.dtype)


def roll_out(model: Forecast, windows: Tensor, steps: int) -> Tensor:
    """Forecast ``(N, steps)`` values from the last known ones, ``(N, size)``, each from the forecasts before."""
    size = windows.shape[1]
    for _ in range(steps):
        windows = torch.cat([windows, model(windows[:, -size:]).unsqueeze(1)], dim=1)
    return windows[:, size:]


def _errors(forecasts: Tensor, values: Tensor) -> list[float]:
    """Return the mean squared error at each number of steps ahead, of the forecasts that end within the values."""
    return [
        F.mse_loss(column[: len(values) - step], values[step:]).item()
        for step, column in enumerate(forecasts.unbind(dim=1))
    ]


def _train(model: nn.Module, windows: Tensor, targets: Tensor, options: Options, seed: int) -> None:
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    for _ in range(options.epochs):
        for index in torch.randperm(len(windows), generator=order).split(BATCH_SIZE):
            update(optimizer, F.mse_loss(model(windows[index]), targets[index]))


def _draw_forecasts(axis: Axes, trial: Trial) -> None:
    axis.plot(range(1, POINTS + 1), trial.values, ".", color="0.75", markersize=4, label="data")
    wave = trial.forecasts["noise as drawn"][:, 0]
    axis.plot(range(TRAINED + 1, POINTS + 1), wave, color="black", linewidth=1, label="without noise")
    for name, (colour, style) in zip(DRAWN, CURVES, strict=True):
        path = trial.forecasts[name][0]
        places = range(TRAINED + 1, TRAINED + 1 + len(path))
        axis.plot(places, path, style, color=colour, linewidth=2.5, label=name)
    axis.axvline(TRAINED + 0.5, color="0.4", linewidth=1)
    ahead = max(40, len(trial.forecasts[OURS][0]))
    limits = max(1, TRAINED - 2 * ahead), min(POINTS, TRAINED + 1.5 * ahead)
    finish(axis, xlabel="t", ylabel="value", title="forecasts from the end of the training data, seed 0", xlim=limits)
    axis.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))


def _draw_errors(axis: Axes, errors: dict[str, list[list[float]]], floor: float) -> None:
    for name, curve in zip(DRAWN, CURVES, strict=True):
        values = errors[name]  # (seeds, steps)
        draw_band(axis, range(1, len(values[0]) + 1), values, curve, linewidth=2, label=name)
    axis.axhline(floor, color="black", linewidth=1, label="noise floor")
    finish(axis, xlabel="steps ahead", ylabel="held-out MSE", title="median and range of the seeds", ylim=(0, None))
