"""Forecasting a noisy sine wave, one step ahead and many, beside what could be reached at best and what costs nothing.

The data are sin(0.01 t) for t = 1 to 1,000 with Gaussian noise of standard deviation 0.2. A window of four values goes
into an LSTM of 20 units as a sequence of four steps of one number; a linear layer on its last state predicts the fifth
value. The first 600 points are for training, which makes 596 windows; the rest is held out.

Nobody can predict the noise of the next point, so no forecast of points that were not learnt by heart has a mean
squared error (MSE) below its variance, 0.2 * 0.2 = 0.04, but for chance: the noise floor. Who prints a training loss
far below it has learnt the noise by heart, which 20 units cannot, or has divided by the wrong number, such as the sum
of the batches' mean losses by the number of examples instead of batches. The forecast that costs nothing, "the next is
what the last was", errs by the noise of both points, about 2 * 0.04 = 0.08. A mean of four noisy values has an error of
its own, 0.04 / 4, so that about 0.05 is what four values allow.

Several steps ahead, the network reads its own forecasts. One step's small error is the next one's input, and after some
steps the forecast has forgotten the wave: four values of it hold hardly any phase.

The LSTM runs twice, once by its equations and once as `nn.LSTM`, from the same first weights. The weights that the one
has learnt are saved, and loaded into the other. The experiment is that of Zhang et al. 2023, "Dive into Deep Learning",
section 9.1, with an LSTM instead of a linear model.
"""

import io
import math
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.explain.cells import LSTM
from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.options import Ahead, Count, Rate, Seed, Size, Spread
from mnist_lstm.progress import track

POINTS, TRAINED, TAU = 1000, 600, 4
"""Points in all, points for training, and values in a window."""

BATCH_SIZE = 32


class Forecaster(nn.Module):
    """Predict the value after a window: ``(N, TAU)`` to ``(N,)``.

    Args:
        layer: `nn.LSTM` or the LSTM by its equations, batch first, of one number a step.
    """

    def __init__(self, layer: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.rnn = layer
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Read each window from its oldest value to its latest."""
        outputs: Tensor = self.rnn(windows.unsqueeze(2))[0]  # (N, TAU, H)
        forecast: Tensor = self.head(outputs[:, -1]).squeeze(1)
        return forecast


def run(
    noise: Spread = 0.2,
    hidden_size: Size = 20,
    epochs: Count = 20,
    learning_rate: Rate = 0.01,
    ahead: Ahead = 64,
    seed: Seed = 0,
) -> Result:
    """Train two forecasters and compare them with what is possible.

    Args:
        noise: Standard deviation of the noise.
        hidden_size: Units of the LSTM.
        epochs: Times that the 596 windows are seen.
        learning_rate: Of Adam.
        ahead: Steps ahead that the longest forecast goes, up to 400.
        seed: Of noise, weights and order.
    """
    torch.manual_seed(seed)
    times = torch.arange(1, POINTS + 1)
    values = torch.sin(0.01 * times) + noise * torch.randn(POINTS)
    windows, targets = values.unfold(0, TAU, 1)[:-1], values[TAU:]  # (996, TAU), (996,)
    trained, held_out = slice(0, TRAINED - TAU), slice(TRAINED - TAU, None)

    first = nn.LSTM(1, hidden_size, batch_first=True)
    models = {"nn.LSTM": Forecaster(first, hidden_size), "by equations": Forecaster(LSTM.like(first), hidden_size)}
    models["by equations"].head.load_state_dict(models["nn.LSTM"].head.state_dict())
    numbers: dict[str, Any] = {"noise_floor": noise**2, "windows_trained": TRAINED - TAU}
    rows = []
    for name, model in models.items():
        _train(model, windows[trained], targets[trained], epochs, learning_rate, seed, name)
        with torch.no_grad():
            errors = [F.mse_loss(model(windows[part]), targets[part]).item() for part in (trained, held_out)]
        numbers[name] = {"train_mse": errors[0], "held_out_mse": errors[1]}
        rows.append([name, *(f"{error:.4f}" for error in errors)])
    naive = [F.mse_loss(windows[part, -1], targets[part]).item() for part in (trained, held_out)]
    numbers["last_value"] = {"train_mse": naive[0], "held_out_mse": naive[1]}
    clean = torch.sin(0.01 * times)[TAU:]
    drawn = [F.mse_loss(clean[part], targets[part]).item() for part in (trained, held_out)]
    numbers["noise_drawn"] = {"train_mse": drawn[0], "held_out_mse": drawn[1]}
    rows += [
        ["the last value again", *(f"{error:.4f}" for error in naive)],
        ["the noise that was drawn", *(f"{error:.4f}" for error in drawn)],
        ["noise floor", *[f"{noise**2:.4f}"] * 2],
    ]

    model = models["nn.LSTM"]
    saved = io.BytesIO()
    torch.save(models["by equations"].state_dict(), saved)
    saved.seek(0)
    loaded = Forecaster(nn.LSTM(1, hidden_size, batch_first=True), hidden_size)
    loaded.load_state_dict(torch.load(saved, weights_only=True))
    with torch.no_grad():
        apart = float((loaded(windows) - models["by equations"](windows)).abs().max())
        one_step = model(windows)  # (996,)
        rolled = roll_out(model, windows[TRAINED - TAU].unsqueeze(0), POINTS - TRAINED)[
            0
        ]  # from the last trained point
        by_steps = {}
        for steps in sorted({1, 4, 16, ahead}):
            forecasts = roll_out(model, windows[TRAINED - TAU : len(windows) - steps + 1], steps)[:, -1]
            by_steps[steps] = F.mse_loss(forecasts, values[TRAINED + steps - 1 :]).item()
    numbers |= {"saved_and_loaded_apart": apart, "mse_by_steps_ahead": by_steps}
    wrong = numbers["nn.LSTM"]["train_mse"] * math.ceil((TRAINED - TAU) / BATCH_SIZE) / (TRAINED - TAU)
    numbers["divided_by_the_wrong_count"] = wrong
    lines = [
        *table(["mean squared error", "trained on", "held out"], rows),
        "",
        f"divided by examples instead of batches, the same training error would read {wrong:.4f}",
        f"saved by equations and loaded into nn.LSTM, the forecasts differ by {apart:.1e} at most",
        "",
        *table(["steps ahead", *map(str, by_steps)], [["held-out MSE", *(f"{e:.4f}" for e in by_steps.values())]]),
    ]
    return Result(lines, numbers, _draw(times, values, one_step, rolled))


def roll_out(model: nn.Module, windows: Tensor, steps: int) -> Tensor:
    """Forecast step after step, each from the forecasts before.

    Args:
        model: turns ``(N, TAU)`` into ``(N,)``.
        windows: the last known values, ``(N, TAU)``.
        steps: how many to forecast.

    Returns:
        ``(N, steps)``.
    """
    for _ in range(steps):
        windows = torch.cat([windows, model(windows[:, -TAU:]).unsqueeze(1)], dim=1)
    return windows[:, TAU:]


def _train(
    model: nn.Module, windows: Tensor, targets: Tensor, epochs: int, learning_rate: float, seed: int, name: str
) -> None:
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    for _ in track(range(epochs), name):
        for index in torch.randperm(len(windows), generator=order).split(BATCH_SIZE):
            loss = F.mse_loss(model(windows[index]), targets[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def _draw(times: Tensor, values: Tensor, one_step: Tensor, rolled: Tensor) -> Figure:
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot(times, values, ".", color="0.7", markersize=4, label="data")
    axis.plot(times, torch.sin(0.01 * times), color=GREEN, linewidth=1.5, label="without the noise")
    axis.plot(times[TAU:], one_step, color=BLUE, linewidth=1, label="forecast, one step ahead")
    axis.plot(times[TRAINED:], rolled, "--", color=ORANGE, linewidth=2, label="forecast from its own forecasts")
    axis.axvline(TRAINED, color=PINK, linestyle=":", label="trained up to here")
    axis.set(xlabel="t", ylabel="value", title="sin(0.01 t) with noise")
    axis.legend(ncols=3)
    axis.grid(alpha=0.3)
    return figure
