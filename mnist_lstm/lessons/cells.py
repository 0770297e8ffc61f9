"""RNN, GRU and LSTM, in one direction and in both, reading digits by rows on the same budget.

A plain RNN computes h = tanh(W x + U h' + b): its whole memory is rewritten at every step. A GRU (Cho et al. 2014)
keeps a share z of the old state and replaces the rest,

    r = sigmoid(W_r x + U_r h')    what the candidate sees of the old
    z = sigmoid(W_z x + U_z h')    what is kept
    n = tanh(W_n x + r * (U_n h'))
    h = (1 - z) * n + z * h'

(biases left out), and an LSTM has three gates and a cell state of its own; see the lesson gates. So a GRU has three
quarters of an LSTM's weights, and an RNN a quarter. Reading in both directions doubles them, and lets the head see a
state from either end.

28 rows are few: an RNN gets through them as well in the end, and what differs after a few hundred steps is how fast
each learns. Greff et al. 2017 ("LSTM: a search space odyssey") and Jozefowicz et al. 2015 ("An empirical exploration of
recurrent network architectures") compare them at length.
"""

from typing import Any

import torch
from matplotlib.figure import Figure

from mnist_lstm.explain.cells import by_equations
from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import Dataset, draw_accuracies, load_train_and_val, train_together
from mnist_lstm.lessons.options import Count, Rate, Seed, Size
from mnist_lstm.model import RowLSTM

KINDS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn"},
    "GRU": {"cell": "gru"},
    "LSTM": {"cell": "lstm"},
    "LSTM, both directions": {"cell": "lstm", "bidirectional": True},
}

LOOKS = {
    "RNN": (PINK, "o:"),
    "GRU": (GREEN, "s-."),
    "LSTM": (BLUE, "^--"),
    "LSTM, both directions": (ORANGE, "D-"),
}

CHECKS = 10
"""Times that the accuracy is looked at."""


def run(
    steps: Count = 400,
    hidden_size: Size = 64,
    batch_size: Size = 64,
    learning_rate: Rate = 0.003,
    dataset: Dataset = "auto",
    data_dir: str = "data",
    seed: Seed = 0,
) -> Result:
    """Train four networks on the same batches.

    Args:
        steps: Of training, the same for all.
        hidden_size: Units of one direction.
        batch_size: Images a step.
        learning_rate: Of Adam.
        dataset: mnist; digits, those of scikit-learn; auto: mnist if it can be had.
        data_dir: Folder of MNIST.
        seed: Of weights and order.
    """
    train, val, told = load_train_and_val(dataset, data_dir)
    models = {}
    for name, options in KINDS.items():
        torch.manual_seed(seed)
        models[name] = RowLSTM(hidden_size=hidden_size, **options)
    apart = {name: _apart_from_equations(model, train[0][:batch_size]) for name, model in models.items()}
    training = train_together(
        models,
        train,
        val,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checks=CHECKS,
    )
    curves = training.accuracies
    weights = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    ratios = {name: training.time_ratio(name, "LSTM") for name in models}
    rows = [[n, f"{curves[n][-1][1]:.1%}", f"{weights[n]:,}", f"{ratios[n]:.2f}", f"{apart[n]:.0e}"] for n in models]
    header = ["after the same steps", "accuracy", "weights", "time / LSTM's", "off its equations by"]
    numbers = {
        "data": told,
        "accuracy": {name: curve[-1][1] for name, curve in curves.items()},
        "weights": weights,
        "time_ratio": ratios,
        "apart_from_equations": apart,
        "curves": curves,
    }
    return Result([told, f"{steps} steps of {batch_size} images", "", *table(header, rows)], numbers, _draw(curves))


@torch.no_grad()
def _apart_from_equations(model: RowLSTM, images: torch.Tensor) -> float:
    """Return by how much outputs differ from the equations', over the largest output."""
    theirs, ours = model.rnn(images)[0], by_equations(model.rnn)(images)[0]
    return float((ours - theirs).abs().max() / theirs.abs().max())


def _draw(curves: dict[str, list[tuple[int, float]]]) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    draw_accuracies(axis, curves, LOOKS)
    axis.set_title("the same batches, one step each")
    return figure
