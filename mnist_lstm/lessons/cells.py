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

28 rows are few: an RNN copes with them in the end as well. After a few hundred updates the difference is how fast each
cell learns. Greff et al. 2017 ("LSTM: a search space odyssey") and Jozefowicz et al. 2015 ("An empirical exploration of
recurrent network architectures") compare them at length.
"""

from typing import Any

import torch
from matplotlib.figure import Figure

from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import draw_accuracies, load_train_and_val, seeded, train_together
from mnist_lstm.lessons.options import DigitOptions
from mnist_lstm.network.cells import by_equations
from mnist_lstm.network.model import RowLSTM

CELLS: dict[str, dict[str, Any]] = {
    "RNN": {"cell": "rnn", "bidirectional": False},
    "GRU": {"cell": "gru", "bidirectional": False},
    "LSTM": {"cell": "lstm", "bidirectional": False},
    "bidirectional LSTM": {"cell": "lstm", "bidirectional": True},
}

Options = DigitOptions


def run(options: Options) -> Result:
    """Train four networks on the same batches."""
    train, val, data = load_train_and_val(options)
    models = {name: seeded(options, **network) for name, network in CELLS.items()}
    errors = {name: _error(model, train[0][: options.batch_size]) for name, model in models.items()}
    training = train_together(models, train, val, options, checks=10)
    accuracy, ratios = training.final, training.time_ratios("LSTM")
    weights = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    rows = [[n, f"{accuracy[n]:.1%}", f"{weights[n]:,}", f"{ratios[n]:.2f}", f"{errors[n]:.0e}"] for n in models]
    header = [f"after {options.steps} updates", "accuracy", "weights", "time / LSTM's", "max relative error"]
    numbers: dict[str, Any] = {"data": data, "accuracy": accuracy, "weights": weights, "time_ratio": ratios}
    numbers |= {"max_relative_error": errors, "curves": training.accuracies}
    figure = Figure(figsize=(8, 5), layout="constrained")
    draw_accuracies(figure.subplots(), training.accuracies, title="four networks on the same batches")
    note = f"batches of {options.batch_size} images; max relative error: of the equations against PyTorch's outputs"
    return Result([data, note, "", *table(header, rows)], numbers, figure)


@torch.no_grad()
def _error(model: RowLSTM, images: torch.Tensor) -> float:
    """Return the largest difference between PyTorch's outputs and the equations', over the largest output."""
    theirs, ours = model.rnn(images)[0], by_equations(model.rnn)(images)[0]
    return float((ours - theirs).abs().max() / theirs.abs().max())
