"""Forecasting a noisy sine wave, one step ahead and many, against the noise floor and a naive forecast.

The data are sin(0.01 t) for t = 1 to 1,000 plus Gaussian noise of standard deviation 0.2. An LSTM of 20 units reads a
window of four values as four steps of one value; a linear layer on its last hidden state predicts the fifth. The first
600 points, which make 596 windows, are for training; the rest is held out.

The noise of the next point is unpredictable. So no forecast of points that were not memorised has a mean squared error
(MSE) below its variance, 0.2 * 0.2 = 0.04, except by chance: the noise floor. A training loss reported far below it
means that the noise was memorised, for which 20 units are too few, or that a sum was divided by the wrong number: the
batches' mean losses, say, by the number of examples instead of batches. The naive forecast, "the next value is the last
one", has the noise of both points, about 2 * 0.04 = 0.08. The mean of four noisy values has an error of its own,
0.04 / 4, so about 0.05 is what four values allow.

Several steps ahead, the network reads its own forecasts. Each step's error is in the next step's input, and after some
steps the forecast has lost the wave: four values hold hardly any phase.

The LSTM is trained twice, as equations and as `nn.LSTM`, from the same initial weights. The weights learnt by the first
are then loaded into an `nn.LSTM`. The experiment is that of Zhang et al. 2023, "Dive into Deep Learning", section
9.1, with an LSTM instead of a linear model.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.console import track
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import update
from mnist_lstm.lessons.options import Ahead, Count, Rate, Seed, Size, Spread
from mnist_lstm.network.cells import LSTM
from mnist_lstm.plots.style import BLUE, GREEN, ORANGE, PINK

POINTS, TRAINED, TAU = 1000, 600, 4  # points in all, points for training, and values in a window
TRAIN_WINDOWS, BATCH_SIZE = TRAINED - TAU, 32


@dataclass(frozen=True)
class Options:
    """Options of this lesson.

    Args:
        noise: Standard deviation of the noise.
        hidden_size: Units of the LSTM.
        epochs: Passes over the 596 windows.
        learning_rate: Learning rate of Adam.
        ahead: Steps ahead of the longest forecast, up to 400.
        seed: Seed of noise, weights and batches.
    """

    noise: Spread = 0.2
    hidden_size: Size = 20
    epochs: Count = 20
    learning_rate: Rate = 0.01
    ahead: Ahead = 64
    seed: Seed = 0


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


def run(options: Options) -> Result:
    """Train two forecasters and compare them with the noise floor."""
    torch.manual_seed(options.seed)
    times = torch.arange(1, POINTS + 1)
    wave = torch.sin(0.01 * times)
    values = wave + options.noise * torch.randn(POINTS)
    windows, targets = values.unfold(0, TAU, 1)[:-1], values[TAU:]  # (996, TAU), (996,)
    parts = {"train_mse": slice(0, TRAIN_WINDOWS), "held_out_mse": slice(TRAIN_WINDOWS, None)}

    model = Forecaster(options.hidden_size)
    equations = copy.deepcopy(model)
    equations.rnn = LSTM.like(model.rnn)  # type: ignore[assignment]
    for name, each in (("nn.LSTM", model), ("equations", equations)):
        _train(each, windows[:TRAIN_WINDOWS], targets[:TRAIN_WINDOWS], options, name)

    loaded = Forecaster(options.hidden_size)
    loaded.load_state_dict(equations.state_dict())
    with torch.no_grad():
        forecasts = {"nn.LSTM": model(windows), "equations": equations(windows)}  # (996,) each
        difference = float((loaded(windows) - forecasts["equations"]).abs().max())
        rolled = roll_out(model, windows[TRAIN_WINDOWS].unsqueeze(0), POINTS - TRAINED)[0]  # from the end of training
        by_steps = {}
        for steps in sorted({1, 4, 16, options.ahead}):
            ahead = roll_out(model, windows[TRAIN_WINDOWS : len(windows) - steps + 1], steps)[:, -1]
            by_steps[steps] = F.mse_loss(ahead, values[TRAINED + steps - 1 :]).item()
    forecasts |= {"last value": windows[:, -1], "noise as drawn": wave[TAU:]}
    errors = {
        name: {key: F.mse_loss(forecast[part], targets[part]).item() for key, part in parts.items()}
        for name, forecast in forecasts.items()
    }
    wrong = errors["nn.LSTM"]["train_mse"] * math.ceil(TRAIN_WINDOWS / BATCH_SIZE) / TRAIN_WINDOWS
    rows = [[name, *(f"{error:.4f}" for error in of_parts.values())] for name, of_parts in errors.items()]
    rows.append(["noise floor", *[f"{options.noise**2:.4f}"] * 2])
    lines = [
        *table(["mean squared error", "training", "held out"], rows),
        "",
        f"the training error divided by examples instead of batches would be {wrong:.4f}",
        f"max difference of the forecasts after loading the equations' weights into nn.LSTM: {difference:.1e}",
        "",
        *table(["steps ahead", *map(str, by_steps)], [["held-out MSE", *(f"{e:.4f}" for e in by_steps.values())]]),
    ]
    numbers: dict[str, Any] = {"noise_floor": options.noise**2, "train_windows": TRAIN_WINDOWS, **errors}
    numbers |= {"max_difference_after_loading": difference, "mse_by_steps_ahead": by_steps}
    numbers |= {"divided_by_the_wrong_count": wrong}
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot(times, values, ".", color="0.7", markersize=4, label="data")
    axis.plot(times[TAU:], forecasts["nn.LSTM"], color=BLUE, linewidth=1, label="forecast one step ahead")
    axis.plot(times, wave, "-.", color=GREEN, linewidth=2, label="without noise")
    axis.plot(times[TRAINED:], rolled, "--", color=ORANGE, linewidth=2, label="forecast from its own forecasts")
    axis.axvline(TRAINED, color=PINK, linestyle=":", linewidth=2, label="end of the training data")
    axis.set(xlabel="t", ylabel="value", title="sin(0.01 t) with noise")
    axis.legend(ncols=3)
    axis.grid(alpha=0.3)
    return Result(lines, numbers, figure)


def roll_out(model: nn.Module, windows: Tensor, steps: int) -> Tensor:
    """Forecast ``(N, steps)`` values from the last known ones, ``(N, TAU)``, each from the forecasts before."""
    for _ in range(steps):
        windows = torch.cat([windows, model(windows[:, -TAU:]).unsqueeze(1)], dim=1)
    return windows[:, TAU:]


def _train(model: nn.Module, windows: Tensor, targets: Tensor, options: Options, name: str) -> None:
    order = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    for _ in track(range(options.epochs), name):
        for index in torch.randperm(len(windows), generator=order).split(BATCH_SIZE):
            update(optimizer, F.mse_loss(model(windows[index]), targets[index]))
