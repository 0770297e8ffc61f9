"""An LSTM written by hand against nn.LSTM: the same outputs, gradients and training; and two common mistakes.

`mnist_lstm/network/cells.py` is the LSTM as equations. With the weights of an `nn.LSTM` it returns the same outputs and
gradients up to rounding. From the same start it trains along the same curve, until rounding errors have grown. It is
slower, since every product and every sigmoid is a call from Python; `nn.LSTM` computes a whole sequence in one call.

With F inputs and H units each of the four gates and candidates has H * F weights for the input, H * H for h', and two
biases per unit, since PyTorch adds b_ih and b_hh where one would do: 4 (H F + H H + 2 H) in all. The linear head has
10 H + 10.

Two mistakes in hand-written LSTMs raise no error.

Looping over the batch. Images come as (N, L, 28), batch first. A loop `for x in images` iterates over the images, not
over their rows: the state runs from one image into the next, and the head sees of each image only its last row, which
is blank in MNIST, after the last rows of the images before it in the batch. The shapes fit, so nothing fails. There are
two symptoms: an image's probabilities depend on its neighbours in the batch, and accuracy stays near chance level.

Weights that are not parameters. `parameters()` finds only `nn.Parameter`, not a tensor that is an attribute of a
module. The optimizer then trains the head alone, on top of a random LSTM. The loss still falls, since random features
carry some information, so the mistake is easily overlooked.
"""

import copy
import statistics
from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.data.format import CLASS_NAMES, SIZE
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import Split, Training, batches, load_train_and_val, train_on_batches
from mnist_lstm.lessons.options import Count, DigitOptions
from mnist_lstm.network.cells import LSTM
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.style import CURVES, finish

REORDERED = 500  # number of validation images whose order is reversed, to see whether each is read on its own


class LoopsOverTheBatch(nn.Module):
    """The first mistake: time and batch are swapped."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn = LSTM(SIZE, hidden_size)  # expects (L, N, 28), gets (N, L, 28)
        self.head = nn.Linear(hidden_size, len(CLASS_NAMES))

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``; only the shapes are right."""
        logits: Tensor = self.head(self.rnn(images)[0][:, -1])
        return logits


class WithoutParameters(nn.Module):
    """The second mistake: the LSTM's weights are plain tensors."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.head = nn.Linear(hidden_size, len(CLASS_NAMES))
        bound = hidden_size**-0.5
        self.input_weights = (2 * torch.rand(4 * hidden_size, SIZE) - 1) * bound
        self.state_weights = (2 * torch.rand(4 * hidden_size, hidden_size) - 1) * bound

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        h = c = images.new_zeros(len(images), self.head.in_features)
        for row in images.unbind(dim=1):  # over time: this part is right
            i, f, g, o = (row @ self.input_weights.T + h @ self.state_weights.T).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        logits: Tensor = self.head(h)
        return logits


QUICK = {"seeds": 1, "updates": 50}


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        seeds: Number of random starts, from seeds 0, 1, 2 and so on, each with its own batches.
    """

    updates: Count = 200
    seeds: Count = 5


class Trial(NamedTuple):
    """Records of one seed; dictionaries are by the names of the networks."""

    training: Training
    errors: dict[str, float]  # of the equations against nn.LSTM, before training
    changes: dict[str, float]  # by the neighbours in the batch
    trained: dict[str, int]  # number of weights that the optimizer finds


def run(options: Options) -> Result:
    """Train four networks on the same batches, from several seeds."""
    train, val, data = load_train_and_val(options)
    trials = [_try(options, seed, train, val) for seed in range(options.seeds)]
    names = list(trials[0].trained)
    accuracy = {name: [trial.training.final[name] for trial in trials] for name in names}
    changes = {name: [trial.changes[name] for trial in trials] for name in names}
    losses = {name: [trial.training.losses[name] for trial in trials] for name in names}
    errors = {part: max(trial.errors[part] for trial in trials) for part in trials[0].errors}
    ratio = statistics.median(trial.training.time_ratios("nn.LSTM")["equations"] for trial in trials)
    pairs = zip(losses["equations"], losses["nn.LSTM"], strict=True)
    by_seed = [[abs(a - b) for a, b in zip(*pair, strict=True)] for pair in pairs]
    differences = [max(step) for step in zip(*by_seed, strict=True)]  # of all seeds, by update
    early = min(20, options.updates)
    trained = trials[0].trained
    lines = [
        data,
        f"{options.seeds} seeds: median (lowest to highest); maxima are over all seeds",
        "",
        f"max relative error of the equations against nn.LSTM: outputs {errors['outputs']:.1e}, gradients "
        f"{errors['gradients']:.1e}",
        f"max difference of their losses: {max(differences[:early]):.1e} in the first {early} updates, "
        f"{max(differences):.1e} in all {options.updates}, as rounding errors add up",
        f"an update with the equations takes {ratio:.1f} times as long",
        "",
        *table(
            [f"after {options.updates} updates", "accuracy", "trained weights", "max change by reordering the batch"],
            [[n, spread(accuracy[n], ".1%"), f"{trained[n]:,}", spread(changes[n], ".3f")] for n in names],
        ),
    ]
    numbers = {"data": data, "max_relative_error": errors, "loss_differences": differences, "time_ratio": ratio}
    numbers |= {"accuracy": accuracy, "trained_weights": trained, "change_by_neighbours": changes, "losses": losses}
    figure = Figure(figsize=(9, 5), layout="constrained")
    _draw(figure.subplots(), losses)
    measures = [
        *(
            Measure(f"max relative error of the equations, {part}", [trial.errors[part] for trial in trials], ".1e")
            for part in errors
        ),
        *(Measure(f"accuracy, {name}", values, ".1%") for name, values in accuracy.items()),
        Measure("max change by reordering the batch, loops over the batch", changes["loops over the batch"], ".2f"),
        Measure(
            "time per update / nn.LSTM's, equations",
            [trial.training.time_ratios("nn.LSTM")["equations"] for trial in trials],
            ".1f",
            is_time=True,
        ),
    ]
    return Result(lines, numbers, figure, measures=measures)


def _try(options: Options, seed: int, train: Split, val: Split) -> Trial:
    torch.manual_seed(seed)
    theirs = RowLSTM(hidden_size=options.hidden_size, bidirectional=False, init="pytorch")
    ours = copy.deepcopy(theirs)
    ours.rnn = LSTM.like(theirs.rnn)  # type: ignore[assignment]
    models = {
        "nn.LSTM": theirs,
        "equations": ours,
        "loops over the batch": LoopsOverTheBatch(options.hidden_size),
        "weights not parameters": WithoutParameters(options.hidden_size),
    }
    errors = _max_relative_errors(theirs, ours, train[0][: options.batch_size], train[1][: options.batch_size])
    drawn = batches(len(train[1]), options.updates, options.batch_size, seed)
    training = train_on_batches(models, train, val, drawn, options.learning_rate, checks=1)
    changes = {name: _change_by_neighbours(model, val[0][:REORDERED]) for name, model in models.items()}
    trained = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    return Trial(training, errors, changes, trained)


def _draw(axis: Axes, losses: dict[str, list[list[float]]]) -> None:
    """Plot one line per network and seed."""
    for (name, tries), (colour, style), width in zip(losses.items(), CURVES, (3, 1.5, 2, 2), strict=True):
        for seed, curve in enumerate(tries):
            smooth = [statistics.fmean(curve[max(0, end - 10) : end]) for end in range(1, len(curve) + 1)]
            label = "" if seed else name
            axis.plot(range(1, len(curve) + 1), smooth, style, color=colour, linewidth=width, alpha=0.8, label=label)
    title = "the same batches, the same start; one line per seed"
    finish(axis, xlabel="update", ylabel="cross-entropy, mean of 10 updates", title=title, ylim=(0, None))


def _max_relative_errors(theirs: RowLSTM, ours: RowLSTM, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the largest difference over the largest value, of the outputs and of all gradients together."""
    outputs, gradients = [], []
    for model in (theirs, ours):
        outputs.append(model.rnn(images)[0].detach())
        loss = nn.functional.cross_entropy(model(images), labels)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    pairs = {"outputs": outputs, "gradients": gradients}
    return {name: float((b - a).abs().max() / a.abs().max()) for name, (a, b) in pairs.items()}


@torch.no_grad()
def _change_by_neighbours(model: nn.Module, images: Tensor) -> float:
    """Return the largest change of a probability when the order of the batch is reversed."""
    there, back = model(images).softmax(dim=1), model(images.flip(0)).softmax(dim=1).flip(0)
    return float((there - back).abs().max())
