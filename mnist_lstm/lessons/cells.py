"""RNN, GRU, LSTM and bidirectional LSTM, reading digits row by row on the same budget.

A plain RNN computes h = tanh(W x + U h' + b): it rewrites its whole memory at every step. A GRU (Cho et al. 2014) keeps
a share z of the old state and replaces the rest,

    r = sigmoid(W_r x + U_r h')    how much of the old state the candidate sees
    z = sigmoid(W_z x + U_z h')    how much of the old state is kept
    n = tanh(W_n x + r * (U_n h'))
    h = (1 - z) * n + z * h'

(biases omitted), and an LSTM has three gates and a cell state; see the lesson gates. A GRU has three quarters of an
LSTM's recurrent weights, an RNN a quarter. Reading in both directions doubles them, and lets the head see a state from
either end.

How fast each learns depends on the learning rate, and one rate need not suit all. So the RNN is trained at several and
judged by the best of them, the others at one. Few updates say how fast a cell learns, not how far it gets. Greff et al.
2017 ("LSTM: a search space odyssey") and Jozefowicz et al. 2015 ("An empirical exploration of recurrent network
architectures") compare them at length. Here the best of the RNN's rates is behind GRU and LSTM in every seed, and which
of these two is ahead depends on the seed.

A GRU computes less than an LSTM, and yet an update may take longer. On a CPU, PyTorch hands a whole LSTM layer to the
library oneDNN, but not a GRU or an RNN: of the three, only `lstm` asks for it in `aten/src/ATen/native/RNN.cpp`. Those
take every step as separate products, sigmoids and so on. The lesson times each layer with oneDNN and without, that is,
under `torch.backends.mkldnn.flags(enabled=False)`.
"""

import statistics
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure

from mnist_lstm.errors import InputError
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import Split, Training, batches, draw_accuracies, load_train_and_val, train_on_batches
from mnist_lstm.lessons.options import Count, DigitOptions, Rate
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM

CELLS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn", "bidirectional": False},
    "GRU": {"cell": "gru", "bidirectional": False},
    "LSTM": {"cell": "lstm", "bidirectional": False},
    "bidirectional LSTM": {"cell": "lstm", "bidirectional": True},
}
VALIDATED = 1000  # number of validation images that are read at each check, to save time
TIMED = 5  # number of updates that are timed with oneDNN and without

QUICK = {"seeds": 1}


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        seeds: Number of random starts, from seeds 0, 1, 2 and so on, each with its own batches.
        rnn_learning_rates: Learning rates of the RNN, of which the best counts, such as "[0.001, 0.01]".
    """

    updates: Count = 200
    seeds: Count = 5
    rnn_learning_rates: tuple[Rate, ...] = (0.001, 0.003, 0.01)


def run(options: Options) -> Result:
    """Train four networks on the same batches, from several seeds, and the RNN at several learning rates."""
    rates = options.rnn_learning_rates
    if not rates or len(set(rates)) < len(rates):
        raise InputError("--rnn_learning_rates: needs at least one value and none twice, such as [0.001, 0.01]")
    train, val, data = load_train_and_val(options)
    val = val[0][:VALIDATED], val[1][:VALIDATED]
    others = [_train(options, seed, options.learning_rate, train, val, plain=False) for seed in range(options.seeds)]
    rnns = {
        rate: [_train(options, seed, rate, train, val, plain=True) for seed in range(options.seeds)] for rate in rates
    }
    by_rate = {rate: [training.final["RNN"] for training in tries] for rate, tries in rnns.items()}
    best = max(by_rate, key=lambda rate: statistics.median(by_rate[rate]))
    curves = {
        name: [training.accuracies[name] for training in (rnns[best] if name == "RNN" else others)] for name in CELLS
    }
    accuracy = {name: [curve[-1][1] for curve in tries] for name, tries in curves.items()}

    models = {name: _build(options, 0, name) for name in CELLS}
    images = train[0][: options.batch_size]
    errors = {name: _error(model, images) for name, model in models.items()}
    times = {onednn: _milliseconds(models, images, onednn) for onednn in (True, False)}
    weights = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    rows = [
        [
            n,
            spread(accuracy[n], ".1%"),
            f"{weights[n]:,}",
            *(f"{ms[n]:.1f}" for ms in times.values()),
            f"{errors[n]:.0e}",
        ]
        for n in models
    ]
    behind = sum(
        max(accuracies[seed] for accuracies in by_rate.values()) < min(accuracy["GRU"][seed], accuracy["LSTM"][seed])
        for seed in range(options.seeds)
    )
    header = [
        f"after {options.updates} updates",
        "accuracy",
        "weights",
        "ms",
        "ms without oneDNN",
        "max relative error",
    ]
    lines = [
        data,
        f"{options.seeds} seeds: median (lowest to highest); batches of {options.batch_size} images",
        "ms: of an update's forward and backward pass; max relative error: of the equations against PyTorch's outputs",
        "",
        *table(header, rows),
        "",
        *table(
            ["RNN's learning rate", *(f"{rate:g}" for rate in by_rate)],
            [["accuracy", *(spread(values, ".1%") for values in by_rate.values())]],
        ),
        f"learning rate of the others: {options.learning_rate:g}",
        f"RNN at its best rate below GRU and LSTM: {behind} of {options.seeds} seeds",
    ]
    numbers: dict[str, Any] = {"data": data, "accuracy": accuracy, "weights": weights, "max_relative_error": errors}
    numbers |= {"milliseconds": times[True], "milliseconds_without_onednn": times[False], "rnn_learning_rate": best}
    numbers |= {"rnn_accuracy_by_learning_rate": {str(rate): values for rate, values in by_rate.items()}}
    numbers |= {"seeds_with_rnn_behind": behind, "curves": curves}
    figure = Figure(figsize=(8, 5), layout="constrained")
    draw_accuracies(figure.subplots(), curves, ylim=(0, 1), title="median and range of the seeds")
    measures = [Measure(f"accuracy, {name}", values, ".1%") for name, values in accuracy.items()]
    measures += [
        Measure(f"ms per forward and backward pass, {name}, {how}", [times[onednn][name]], ".1f", is_time=True)
        for name in CELLS
        for onednn, how in ((True, "oneDNN"), (False, "without"))
    ]
    return Result(lines, numbers, figure, measures=measures)


def _build(options: Options, seed: int, name: str) -> RowLSTM:
    torch.manual_seed(seed)
    return RowLSTM(hidden_size=options.hidden_size, **CELLS[name])


def _train(options: Options, seed: int, rate: float, train: Split, val: Split, *, plain: bool) -> Training:
    """Train the RNN or all others from a seed on the batches of that seed."""
    models = {name: _build(options, seed, name) for name in CELLS if (name == "RNN") is plain}
    drawn = batches(len(train[1]), options.updates, options.batch_size, seed)
    return train_on_batches(models, train, val, drawn, rate, checks=10)


def _milliseconds(models: dict[str, RowLSTM], images: torch.Tensor, onednn: bool) -> dict[str, float]:
    """Return the milliseconds that each network takes to read images and compute gradients, the median of `TIMED`."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    with warnings.catch_warnings():
        # setting the flags warns on a build without support for Intel's GPUs, about an option that is not set here
        warnings.filterwarnings("ignore", message="TF32 acceleration")
        with torch.backends.mkldnn.flags(enabled=onednn):
            for _ in range(TIMED):
                for name, model in models.items():
                    start = time.perf_counter()
                    model(images).sum().backward()
                    taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


@torch.no_grad()
def _error(model: RowLSTM, images: torch.Tensor) -> float:
    """Return the largest difference between PyTorch's outputs and the equations', over the largest output."""
    theirs, ours = model.rnn(images)[0], by_equations(model.rnn)(images)[0]
    return float((ours - theirs).abs().max() / theirs.abs().max())
