"""An LSTM written by hand against nn.LSTM: the same outputs, gradients and training, and two mistakes that are not.

`mnist_lstm/explain/cells.py` is the LSTM by its equations. With the weights of an `nn.LSTM` it returns the same
outputs and the same gradients, but for rounding, and from the same start it trains along the same curve. It takes
longer, since every product and every sigmoid is a call from Python; `nn.LSTM` does a whole sequence in one.

Hand-written LSTMs go wrong in two ways that no error message tells.

Looping over the batch. Images come as (N, L, 28), a batch first. A loop `for x in images` goes through the images, not
through their rows: the state runs from one image into the next, and what reaches the head of each image is its last
row alone, which is empty paper in MNIST, with the last rows of the images before it in the batch. It runs without an
error, since the shapes fit. Two symptoms tell: the probabilities of an image move with its neighbours in the batch, and
the accuracy stays near chance.

Weights that are no parameters. A tensor that is an attribute of a module is not found by `parameters()`; only
`nn.Parameter` is. The optimiser then trains the head alone, on top of a random LSTM. The loss goes down all the same,
as random features are worth something, and so nobody notices.
"""

import copy
import statistics

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist_lstm.explain.cells import LSTM
from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import Dataset, load_train_and_val, train_together
from mnist_lstm.lessons.options import Count, Rate, Seed, Size
from mnist_lstm.mnist_format import CLASS_NAMES, SIZE
from mnist_lstm.model import RowLSTM

LOOKED_AT = 500
"""Validation images whose order is changed, to see whether they are read one by one."""


class LoopsOverTheBatch(nn.Module):
    """The first mistake: time and batch are mixed up."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.rnn = LSTM(SIZE, hidden_size)  # takes (L, N, 28), and is handed (N, L, 28)
        self.head = nn.Linear(hidden_size, len(CLASS_NAMES))

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``, which look all right."""
        outputs, _ = self.rnn(images)
        logits: Tensor = self.head(outputs[:, -1])
        return logits


class WithoutParameters(nn.Module):
    """The second mistake: the LSTM's weights are plain tensors."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.head = nn.Linear(hidden_size, len(CLASS_NAMES))
        spread = hidden_size**-0.5
        self.input_weights = (2 * torch.rand(4 * hidden_size, SIZE) - 1) * spread
        self.state_weights = (2 * torch.rand(4 * hidden_size, hidden_size) - 1) * spread

    def forward(self, images: Tensor) -> Tensor:
        """Turn images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        h = c = images.new_zeros(len(images), self.head.in_features)
        for row in images.unbind(dim=1):  # over time, as it should be
            i, f, g, o = (row @ self.input_weights.T + h @ self.state_weights.T).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        logits: Tensor = self.head(h)
        return logits


def run(
    steps: Count = 200,
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
        hidden_size: Units of each LSTM.
        batch_size: Images a step.
        learning_rate: Of Adam.
        dataset: mnist; digits, those of scikit-learn; auto: mnist if it can be had.
        data_dir: Folder of MNIST.
        seed: Of weights and order.
    """
    train, val, told = load_train_and_val(dataset, data_dir)
    torch.manual_seed(seed)
    theirs = RowLSTM(hidden_size=hidden_size, init="pytorch")
    ours = copy.deepcopy(theirs)
    ours.rnn = LSTM.like(theirs.rnn)  # type: ignore[assignment]
    models = {
        "nn.LSTM": theirs,
        "by equations": ours,
        "loops over the batch": LoopsOverTheBatch(hidden_size),
        "weights no parameters": WithoutParameters(hidden_size),
    }
    apart = _compare(theirs, ours, train[0][:batch_size], train[1][:batch_size])
    training = train_together(
        models,
        train,
        val,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checks=1,
    )
    curves = training.losses
    ratio = training.time_ratio("by equations", "nn.LSTM")
    losses_apart = [abs(a - b) for a, b in zip(curves["by equations"], curves["nn.LSTM"], strict=True)]
    early = min(20, steps)
    accuracies = {name: seen[-1][1] for name, seen in training.accuracies.items()}
    trained = {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}
    moved = {name: _moved_by_neighbours(model, val[0][:LOOKED_AT]) for name, model in models.items()}
    lines = [
        told,
        "",
        f"outputs of the LSTM by equations and of nn.LSTM differ by {apart['outputs']:.1e} of the largest, "
        f"gradients by {apart['gradients']:.1e}",
        f"their losses differ by {max(losses_apart[:early]):.1e} at most in the first {early} steps, and by "
        f"{max(losses_apart):.1e} in all {steps}, as roundings add up",
        f"a step by equations takes {ratio:.1f} times as long",
        "",
        *table(
            ["after the same steps", "accuracy", "weights that train", "neighbours move a probability by"],
            [[n, f"{accuracies[n]:.1%}", f"{trained[n]:,}", f"{moved[n]:.3f}"] for n in models],
        ),
    ]
    numbers = {
        "data": told,
        "apart": apart,
        "losses_apart": losses_apart,
        "time_ratio": ratio,
        "accuracy": accuracies,
        "trained_weights": trained,
        "moved_by_neighbours": moved,
        "losses": curves,
    }
    return Result(lines, numbers, _draw(curves))


def _compare(theirs: RowLSTM, ours: RowLSTM, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the largest difference over the largest value, of outputs and of all gradients."""
    outputs, gradients = [], []
    for model in (theirs, ours):
        outputs.append(model.rnn(images)[0].detach())
        loss = nn.functional.cross_entropy(model(images), labels)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        gradients.append(torch.cat([slope.flatten() for slope in slopes]))
    return {
        name: float((b - a).abs().max() / a.abs().max())
        for name, (a, b) in (("outputs", outputs), ("gradients", gradients))
    }


@torch.no_grad()
def _moved_by_neighbours(model: nn.Module, images: Tensor) -> float:
    """Return by how much a probability changes at most when the batch is turned round."""
    there, back = model(images).softmax(dim=1), model(images.flip(0)).softmax(dim=1).flip(0)
    return float((there - back).abs().max())


def _draw(curves: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    styles = zip((BLUE, ORANGE, GREEN, PINK), ("-", "--", ":", "-."), (3, 1.5, 2, 2), strict=True)
    for (name, curve), (colour, style, width) in zip(curves.items(), styles, strict=True):
        smooth = [statistics.fmean(curve[max(0, end - 10) : end]) for end in range(1, len(curve) + 1)]
        axis.plot(range(1, len(curve) + 1), smooth, style, color=colour, linewidth=width, label=name)
    axis.set(xlabel="step", ylabel="cross-entropy, mean of 10 steps", title="the same batches from the same start")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
