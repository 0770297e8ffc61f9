"""How time and memory grow with the batch, the units, the layers, the steps, and the number of images.

Each point is a process of its own, so that its peak of memory is its own. The exponent is the slope of a straight line
through the logarithms: 1 means twice as much for twice as much.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.startup import COMMAND
from mnist_lstm.outputs import open_new

BASE = {"batch": 128, "units": 128, "layers": 1, "steps": 28}
POINTS: dict[str, tuple[int, ...]] = {
    "batch": (16, 32, 64, 128, 256, 512),
    "units": (16, 32, 64, 128, 256, 512),
    "layers": (1, 2, 3, 4),
    "steps": (28, 196, 784),
}
PIXELS = {28: 28, 196: 4, 784: 1}
"""A picture of 784 pixels in so many steps has so many numbers a step."""

IMAGES = (1_000, 10_000, 50_000, 200_000)
QUICK = 2
"""So many points of each curve are enough for a test of this program."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, draw, and return what was measured."""
    curves: dict[str, list[dict[str, float]]] = {}
    for axis, values in POINTS.items():
        rows = []
        for value in values[:QUICK] if options.quick else values:
            sizes = BASE | {axis: value}
            seconds, memory = zip(*(_in_a_process(sizes) for _ in range(options.rounds)), strict=True)
            rows.append({axis: value, "seconds": statistics.median(seconds), "MiB": statistics.median(memory)})
        curves[axis] = rows
        _print(f"a training step against {axis} (else {BASE})", rows)
    rows = []
    for number in (300, 600) if options.quick else IMAGES:
        took, peak = _classify(number, options.ckpt_path)
        rows.append({"images": number, "seconds": took, "MiB": peak})
    curves["images"] = rows
    _print("mnist-lstm classify against the images in an array file, whole process", rows)
    if options.plot is not None:
        _draw(curves, options.plot)
        print(f"plot        {options.plot}")
    exponents = {axis: {key: _exponent(rows, key) for key in ("seconds", "MiB")} for axis, rows in curves.items()}
    return {"base": BASE, "curves": curves, "exponents": exponents}


def _in_a_process(sizes: dict[str, int]) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(training_step, **sizes).result()


def training_step(batch: int, units: int, layers: int, steps: int) -> tuple[float, float]:
    """Return the seconds of a training step in float32, and the memory that training adds to the process, in MiB."""
    import resource

    import torch
    import torch.nn.functional as F

    from mnist_lstm.model import RowLSTM

    network = RowLSTM(PIXELS[steps], units, layers, bidirectional=True)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    sequences, labels = torch.randn(batch, steps, PIXELS[steps]), torch.randint(0, 10, (batch,))
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 1 and len(times) < 50):
        start = time.perf_counter()
        loss = F.cross_entropy(network(sequences), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / unit


def _classify(number: int, ckpt_path: str | None) -> tuple[float, float]:
    """Return the seconds and the peak of memory (MiB) of a process that classifies so many images of an array file."""
    from mnist_lstm.data import load_digits

    images, _ = load_digits()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "images.npy")
        np.save(file, np.resize(images, (number, 28, 28)))
        checkpoint = [] if ckpt_path is None else ["--ckpt_path", ckpt_path]
        return measure.peak_memory(
            [sys.executable, "-c", COMMAND, "classify", str(file), "--format", "csv", *checkpoint]
        )


def _exponent(rows: list[dict[str, float]], key: str) -> float | None:
    axis = next(iter(rows[0]))
    points = [(row[axis], row[key]) for row in rows if row[key] > 0]
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return float(np.polyfit(x, y, 1)[0])


def _print(title: str, rows: list[dict[str, float]]) -> None:
    print(title)
    axis = next(iter(rows[0]))
    for row in rows:
        print(f"  {row[axis]:>8,}  {row['seconds']:10.4f} s  {row['MiB']:8.0f} MiB")
    seconds, memory = _exponent(rows, "seconds"), _exponent(rows, "MiB")
    told = [f"{name} {value:.2f}" for name, value in (("time", seconds), ("memory", memory)) if value is not None]
    print(f"  exponent: {', '.join(told)}", flush=True)


def _draw(curves: dict[str, list[dict[str, float]]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(curves), 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(curves), squeeze=False)
    for column, (axis, rows) in enumerate(curves.items()):
        for line, (key, unit) in enumerate((("seconds", "s"), ("MiB", "MiB"))):
            plot = axes[line][column]
            kept = [row for row in rows if row[key] > 0]
            exponent = _exponent(rows, key)
            x, y = [row[axis] for row in kept], [row[key] for row in kept]
            plot.loglog(x, y, marker="o", color="#0072B2")
            plot.minorticks_off()
            plot.set_xticks(x, [f"{value:,}" for value in x], rotation=45)
            # a decade at least, so that what hardly grows looks like it
            low, high = min(y) / 1.5, max(max(y) * 1.5, min(y) * 10)
            plot.set_ylim(low, high)
            plot.yaxis.set_major_formatter("{x:g}")
            plot.set_title(f"exponent {exponent:.2f}" if exponent is not None else "")
            plot.set_xlabel(axis)
            plot.set_ylabel(unit)
            plot.grid(alpha=0.3)
    with open_new(path, "--plot", binary=True) as file:
        figure.savefig(file, format="png", dpi=80)
