"""Measure how time and memory grow with batch, units, layers, steps, and the number of images.

Each point is a process of its own, so that its peak memory is its own. The exponent is the slope of a straight line
through the logarithms: 1 means twice as much for twice as much.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import measure
from benchmarks.startup import COMMAND
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.files import open_new
from mnist_lstm.network.model import RowLSTM

Rows = list[dict[str, float]]
"""Points of a curve: the value on its axis, seconds and MiB."""

BASE = {"batch": 128, "units": 128, "layers": 1, "steps": 28}
POINTS: dict[str, tuple[int, ...]] = {
    "batch": (16, 32, 64, 128, 256, 512),
    "units": (16, 32, 64, 128, 256, 512),
    "layers": (1, 2, 3, 4),
    "steps": (28, 196, 784),
    "images": (1_000, 10_000, 50_000, 200_000),
}
QUICK = {axis: values[:2] for axis, values in POINTS.items()} | {"images": (300, 600)}
PIXELS = {28: 28, 196: 4, 784: 1}
"""Pixels per step, for an image of 784 pixels in so many steps."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print and draw; return the results."""
    curves: dict[str, Rows] = {}
    for axis, values in (QUICK if options.quick else POINTS).items():
        rows = curves[axis] = []
        for value in values:
            if axis == "images":
                seconds, mib = _classify(value, options.ckpt_path)
            else:
                rounds = [_in_a_process(BASE | {axis: value}) for _ in range(options.rounds)]
                seconds, mib = map(statistics.median, zip(*rounds, strict=True))
            rows.append({axis: value, "seconds": seconds, "MiB": mib})
        what = "process of classify" if axis == "images" else f"training step (base {BASE})"
        _print(f"{what} against {axis}", axis, rows)
    if options.plot is not None:
        _draw(curves, options.plot)
        print(f"plot        {options.plot}")
    exponents = {axis: {key: _exponent(rows, key) for key in ("seconds", "MiB")} for axis, rows in curves.items()}
    return {"base": BASE, "curves": curves, "exponents": exponents}


def _in_a_process(sizes: dict[str, int]) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(training_step, **sizes).result()


def training_step(batch: int, units: int, layers: int, steps: int) -> tuple[float, float]:
    """Return the seconds of a training step in float32, and the memory in MiB that training adds to the process."""
    network = RowLSTM(input_size=PIXELS[steps], hidden_size=units, num_layers=layers)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    sequences, labels = torch.randn(batch, steps, PIXELS[steps]), torch.randint(0, 10, (batch,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 1 and len(times) < 50):
        start = time.perf_counter()
        loss = F.cross_entropy(network(sequences), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        times.append(time.perf_counter() - start)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return statistics.median(times[1:]), measure.in_mib(added)


def _classify(number: int, ckpt_path: str | None) -> tuple[float, float]:
    """Return the seconds and the peak memory in MiB of a process that classifies ``number`` images of an array file."""
    images, _ = load_sklearn_digits()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.npy")
        np.save(file, np.resize(images, (number, 28, 28)))
        checkpoint = [] if ckpt_path is None else ["--ckpt_path", ckpt_path]
        return measure.peak_memory([sys.executable, *COMMAND, "classify", str(file), "--format", "csv", *checkpoint])


def _exponent(rows: Rows, key: str) -> float | None:
    axis = next(iter(rows[0]))
    points = [(row[axis], row[key]) for row in rows if row[key] > 0]
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def _print(title: str, axis: str, rows: Rows) -> None:
    print(title)
    for row in rows:
        print(f"  {row[axis]:>8,}  {row['seconds']:10.4f} s  {row['MiB']:8.0f} MiB")
    exponents = {"time": _exponent(rows, "seconds"), "memory": _exponent(rows, "MiB")}
    shown = [f"{name} {value:.2f}" for name, value in exponents.items() if value is not None]
    print(f"  exponent: {', '.join(shown)}", flush=True)


def _draw(curves: dict[str, Rows], path: Path) -> None:
    # not at the top: every measured process imports this module
    from matplotlib.figure import Figure

    from mnist_lstm.plots.style import BLUE

    figure = Figure(figsize=(3.2 * len(curves), 5.6), layout="constrained")
    axes = figure.subplots(2, len(curves), squeeze=False)
    for column, (axis, rows) in zip(axes.T, curves.items(), strict=True):
        for plot, (key, unit) in zip(column, (("seconds", "s"), ("MiB", "MiB")), strict=True):
            points = [(row[axis], row[key]) for row in rows if row[key] > 0]
            if not points:
                continue
            x, y = zip(*points, strict=True)
            exponent = _exponent(rows, key)
            plot.loglog(x, y, marker="o", color=BLUE)
            plot.minorticks_off()
            plot.set_xticks(x, [f"{value:,}" for value in x], rotation=45)
            # at least one decade, so that what hardly grows looks flat
            plot.set_ylim(min(y) / 1.5, max(max(y) * 1.5, min(y) * 10))
            plot.yaxis.set_major_formatter("{x:g}")
            plot.set_title("" if exponent is None else f"exponent {exponent:.2f}")
            plot.set_xlabel(axis)
            plot.set_ylabel(unit)
            plot.grid(alpha=0.3)
    with open_new(path, "--plot", binary=True) as file:
        figure.savefig(file, format="png", dpi=80)
