"""The order of reading matters: digits by rows, by columns, pixel by pixel, and in a scrambled order.

An LSTM that reads a digit by rows gets through it in 28 steps of 28 pixels, and what belongs together is together.
Pixel by pixel (Le, Jaitly & Hinton 2015) there are 784 steps: what was seen in one row is 28 steps old when the next
comes below it. In a fixed random order there are as many, and neighbours are anywhere, so that nothing is to be had
from the last few steps: all must be carried. Both have become benchmarks of long memory. Trained for long on a GPU,
plain LSTMs are published with 98.9 % pixel by pixel, and with 92.9 to 95.1 % in a random order (Helfrich, Willmott & Ye
2018; Gu et al. 2020).

The order is an option of the network, `--model.scan rows | columns | pixels | permuted`, and a checkpoint keeps it, so
that classify and explain read in the same way. `configs/pixels.yaml` is a full training pixel by pixel, for a GPU.

Here pictures are first made smaller, 14x14 pixels unless told otherwise, so that 196 steps and not 784 are to be
waited for, and training is short. What is to be seen is how much the order counts on the same budget.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from mnist_lstm.figures import BLUE, GREEN, ORANGE, PINK
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import Dataset, Split, draw_accuracies, load_train_and_val, train_together
from mnist_lstm.lessons.options import Count, Rate, Seed, Size
from mnist_lstm.mnist_format import SIZE
from mnist_lstm.model import RowLSTM
from mnist_lstm.scan import SCANS, Scan, scan

LOOKS = {"rows": (ORANGE, "D-"), "columns": (BLUE, "^--"), "pixels": (GREEN, "s-."), "permuted": (PINK, "o:")}

CHECKS = 8
"""Times that the accuracy is looked at."""

LOOKED_AT = 1000
"""Validation images that are read for it: all of them take longer than the training."""


def run(
    side: Literal[7, 14, 28] = 14,
    steps: Count = 300,
    hidden_size: Size = 64,
    batch_size: Size = 64,
    learning_rate: Rate = 0.005,
    dataset: Dataset = "auto",
    data_dir: str = "data",
    seed: Seed = 0,
) -> Result:
    """Train four networks that read in different orders on the same batches.

    Args:
        side: Pixels of a side: 28 as in MNIST, or 14 or 7.
        steps: Of training, the same for all.
        hidden_size: Units of each LSTM.
        batch_size: Images a step.
        learning_rate: Of Adam.
        dataset: mnist; digits, those of scikit-learn; auto: mnist if it can be had.
        data_dir: Folder of MNIST.
        seed: Of weights and order.
    """
    train, val, told = load_train_and_val(dataset, data_dir)
    train, val = _smaller(train, side), _smaller((val[0][:LOOKED_AT], val[1][:LOOKED_AT]), side)
    models: dict[str, RowLSTM] = {}
    for order in SCANS:
        torch.manual_seed(seed)
        models[order] = RowLSTM(side, hidden_size, scan=order)
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
    ratios = {order: training.time_ratio(order, "rows") for order in SCANS}
    lengths = {order: scan(val[0][:1], order).shape[1] for order in SCANS}
    published: dict[Scan, str] = {"rows": "", "columns": "", "pixels": "98.9 %", "permuted": "92.9 to 95.1 %"}
    rows = [
        [order, f"{lengths[order]}", f"{curves[order][-1][1]:.1%}", f"{ratios[order]:.1f}", published[order]]
        for order in SCANS
    ]
    header = ["order", "steps", "accuracy", "time / rows'", "published for 28x28, trained for long"]
    numbers: dict[str, Any] = {
        "data": told,
        "side": side,
        "accuracy": {order: curve[-1][1] for order, curve in curves.items()},
        "time_ratio": ratios,
        "curves": curves,
    }
    lines = [told, f"{side}x{side} pixels, {steps} steps of {batch_size} images", "", *table(header, rows)]
    return Result(lines, numbers, _draw(val[0][0], curves))


def _smaller(split: Split, side: int) -> Split:
    images, labels = split
    return F.avg_pool2d(images.unsqueeze(1), SIZE // side).squeeze(1), labels


def _draw(image: Tensor, curves: dict[str, list[tuple[int, float]]]) -> Figure:
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    sheet, half = figure.subfigures(1, 2, width_ratios=[1, 1.5])  # type: ignore[misc]  # it is an array of two
    sheet.suptitle("one digit as each reads it, line by line")
    for place, order in zip(sheet.subplots(2, 2).flat, SCANS, strict=True):
        place.imshow(scan(image.unsqueeze(0), order).reshape(len(image), -1).numpy(), cmap="gray_r")
        place.set_title(order)
        place.set_axis_off()
    curve_axis = half.subplots()
    draw_accuracies(curve_axis, curves, LOOKS)
    curve_axis.set_ylim(0, 1)
    return figure
