"""Scan order: the same digits read by rows, by columns, pixel by pixel, and in a fixed random order.

By rows, an LSTM reads a digit in 28 steps of 28 pixels, and neighbouring pixels are read together. Pixel by pixel (Le,
Jaitly & Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units") there are 784 steps: a
pixel is 28 steps old when the one below it is read. In a fixed random order there are as many, and neighbours may be
any distance apart. Both have become benchmarks of long memory; results of LSTMs trained for long are in Helfrich,
Willmott & Ye 2018 ("Orthogonal recurrent neural networks with scaled Cayley transform") and Gu et al. 2020 ("Improving
the gating mechanism of recurrent neural networks").

The order is an option of the network, `--model.scan_order rows | columns | pixels | permuted`, and checkpoints keep it,
so that classify and explain read in the same order. `configs/pixels.yaml` is a full training pixel by pixel, for a GPU.
In the order `pixels` it needs the biases of the lesson `time-scales` to learn at all (`--model.init chrono`).

Here the images are first reduced, by default to 14x14 pixels and so to 196 steps, and training is short. The question
is which orders learn within the same few updates, not what each can reach: rows and columns, of 14 steps, are far above
the two orders by pixel in every seed. Those two are only beginning to learn. How far they get differs between seeds and
machines by more than between the two, so nothing here ranks them.
"""

import statistics
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from mnist_lstm.data.format import SIZE
from mnist_lstm.lessons import Measure, Result, spread, table
from mnist_lstm.lessons.digits import (
    Split,
    Training,
    batches,
    draw_accuracies,
    load_train_and_val,
    train_on_batches,
)
from mnist_lstm.lessons.options import Count, DigitOptions, Rate
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import ScanOrder, to_sequence

ORDERS = get_args(ScanOrder)
BY_LINE, BY_PIXEL = ORDERS[:2], ORDERS[2:]

VALIDATED = 1000  # number of validation images that are read; all of them take longer than the training

QUICK = {"seeds": 1, "side": 7, "updates": 150}


@dataclass(frozen=True)
class Options(DigitOptions):
    """Options of this lesson.

    Args:
        side: Pixels per side: 28 as in MNIST, or 14 or 7.
        seeds: Number of random starts, from seeds 0, 1, 2 and so on, each with its own batches.
    """

    side: Literal[7, 14, 28] = 14
    updates: Count = 300
    learning_rate: Rate = 0.005
    seeds: Count = 3


def run(options: Options) -> Result:
    """Train four networks with different scan orders on the same batches, from several seeds."""
    side, seeds = options.side, options.seeds
    train, val, data = load_train_and_val(options)
    train, val = _reduced(train, side), _reduced((val[0][:VALIDATED], val[1][:VALIDATED]), side)
    trainings = [_train(options, seed, train, val) for seed in range(seeds)]
    accuracy = {order: [training.final[order] for training in trainings] for order in ORDERS}
    by_seed = [training.time_ratios("rows") for training in trainings]
    ratios = {order: statistics.median(times[order] for times in by_seed) for order in ORDERS}
    above = sum(
        min(training.final[order] for order in BY_LINE) > max(training.final[order] for order in BY_PIXEL)
        for training in trainings
    )
    sequences = {order: to_sequence(val[0][:1], order) for order in ORDERS}
    rows = [[n, f"{sequences[n].shape[1]}", spread(accuracy[n], ".1%"), f"{ratios[n]:.1f}"] for n in ORDERS]
    header = ["scan order", "steps", "accuracy: median (lowest to highest)", "time / rows'"]
    lines = [
        data,
        f"{side}x{side} pixels, {options.updates} updates, batches of {options.batch_size} images",
        "",
        *table(header, rows),
        "",
        f"both rows and columns above both pixels and permuted: {above} of {seeds} seeds",
    ]
    curves = {order: [training.accuracies[order] for training in trainings] for order in ORDERS}
    numbers = {"data": data, "side": side, "accuracy": accuracy, "time_ratio": ratios, "curves": curves}
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    sheet, half = figure.subfigures(1, 2, width_ratios=[1, 1.5])  # type: ignore[misc]  # an array of two
    sheet.suptitle("one digit in the order of reading, line by line")
    for axis, (order, sequence) in zip(sheet.subplots(2, 2).flat, sequences.items(), strict=True):
        axis.imshow(sequence.reshape(side, -1).numpy(), cmap="gray_r")
        axis.set_title(order)
        axis.set_axis_off()
    draw_accuracies(half.subplots(), curves, ylim=(0, 1), title="median and range of the seeds")
    measures = [Measure(f"accuracy, {order}", values, ".1%") for order, values in accuracy.items()]
    return Result(lines, numbers, figure, measures=measures)


def _train(options: Options, seed: int, train: Split, val: Split) -> Training:
    """Train one network for each scan order, all from the same seed and on the same batches."""
    models = {}
    for order in ORDERS:
        torch.manual_seed(seed)
        sizes = {"input_size": options.side, "hidden_size": options.hidden_size}
        models[order] = RowLSTM(**sizes, bidirectional=False, scan_order=order)
    drawn = batches(len(train[1]), options.updates, options.batch_size, seed)
    return train_on_batches(models, train, val, drawn, options.learning_rate, checks=8)


def _reduced(split: Split, side: int) -> Split:
    images, labels = split
    return F.avg_pool2d(images.unsqueeze(1), SIZE // side).squeeze(1), labels
