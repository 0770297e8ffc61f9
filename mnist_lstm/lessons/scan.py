"""Scan order: the same digits read by rows, by columns, pixel by pixel, and in a fixed random order.

By rows, an LSTM reads a digit in 28 steps of 28 pixels, and neighbouring pixels are read together. Pixel by pixel (Le,
Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units") there are 784 steps: a
pixel is 28 steps old when the one below it is read. In a fixed random order there are as many, and neighbours may be
any distance apart. Both have become benchmarks of long memory; results of LSTMs trained for long are in Helfrich,
Willmott & Ye 2018 ("Orthogonal recurrent neural networks with scaled Cayley transform") and Gu et al. 2020 ("Improving
the gating mechanism of recurrent neural networks").

The order is an option of the network, `--model.scan_order rows | columns | pixels | permuted`, and checkpoints keep it,
so that classify and explain read in the same order. `configs/pixels.yaml` is a full training pixel by pixel, for a GPU.

Here the images are first reduced, by default to 14x14 pixels and so to 196 steps, and training is short. The question
is how much the order matters on the same budget, not what each order can reach.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch.nn.functional as F
from matplotlib.figure import Figure

from mnist_lstm.data.format import SIZE
from mnist_lstm.lessons import Result, table
from mnist_lstm.lessons.digits import Split, draw_accuracies, load_train_and_val, seeded, train_together
from mnist_lstm.lessons.options import Count, DigitOptions, Rate
from mnist_lstm.network.scan_order import ScanOrder, to_sequence

ORDERS = get_args(ScanOrder)

VALIDATED = 1000  # number of validation images that are read; all of them take longer than the training


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        side: Pixels per side: 28 as in MNIST, or 14 or 7.
    """

    side: Literal[7, 14, 28] = 14
    steps: Count = 300
    learning_rate: Rate = 0.005


def run(options: Options) -> Result:
    """Train four networks with different scan orders on the same batches."""
    side = options.side
    train, val, data = load_train_and_val(options)
    train, val = _reduced(train, side), _reduced((val[0][:VALIDATED], val[1][:VALIDATED]), side)
    models = {order: seeded(options, input_size=side, bidirectional=False, scan_order=order) for order in ORDERS}
    training = train_together(models, train, val, options, checks=8)
    accuracy, ratios = training.final, training.time_ratios("rows")
    sequences = {order: to_sequence(val[0][:1], order) for order in ORDERS}
    rows = [[n, f"{sequences[n].shape[1]}", f"{accuracy[n]:.1%}", f"{ratios[n]:.1f}"] for n in ORDERS]
    setting = f"{side}x{side} pixels, {options.steps} updates, batches of {options.batch_size} images"
    lines = [data, setting, "", *table(["scan order", "steps", "accuracy", "time / rows'"], rows)]
    numbers = {"data": data, "side": side, "accuracy": accuracy, "time_ratio": ratios, "curves": training.accuracies}
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    sheet, half = figure.subfigures(1, 2, width_ratios=[1, 1.5])  # type: ignore[misc]  # an array of two
    sheet.suptitle("one digit in the order of reading, line by line")
    for axis, (order, sequence) in zip(sheet.subplots(2, 2).flat, sequences.items(), strict=True):
        axis.imshow(sequence.reshape(side, -1).numpy(), cmap="gray_r")
        axis.set_title(order)
        axis.set_axis_off()
    draw_accuracies(half.subplots(), training.accuracies, ylim=(0, 1))
    return Result(lines, numbers, figure)


def _reduced(split: Split, side: int) -> Split:
    images, labels = split
    return F.avg_pool2d(images.unsqueeze(1), SIZE // side).squeeze(1), labels
