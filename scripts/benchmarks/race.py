"""Time ``fit`` with ``configs/sprint.yaml`` to the accuracy of the tutorials' loop after its one epoch, same network.

The recipe was chosen on validation images; either side reads the test images once per round, at the end.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from evaluate import load_test_images
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks import measure, rivals
from benchmarks.train import TUTORIAL, run_fit
from mnist_lstm.data.format import normalise

RECIPE = Path(__file__).parents[2] / "configs" / "sprint.yaml"


class Stopwatch(Callback):
    """Time the training from its first step to its end, including validation and checkpoints."""

    seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self._start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._start


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    images, labels = map(torch.tensor, load_test_images(options.data_dir))
    times: measure.Times = {"fit": [], TUTORIAL: []}
    accuracies: dict[str, list[float]] = {name: [] for name in times}
    for seed in range(options.rounds):
        watch = Stopwatch()
        args = ["--config", str(RECIPE), "--seed_everything", str(seed), "--data.data_dir", str(options.data_dir)]
        fitted = run_fit(args, watch)
        seconds, tutorial = rivals.tutorial_loop(options.data_dir, seed)
        times["fit"].append(watch.seconds)
        times[TUTORIAL].append(seconds)
        with torch.inference_mode():
            outputs = {"fit": fitted.model.eval()(normalise(images)), TUTORIAL: tutorial(images.float() / 255)}
        for name, logits in outputs.items():  # (10000, 10)
            accuracies[name].append(float((logits.argmax(dim=1) == labels).float().mean()))
    ratios = measure.report(times, [("fit", TUTORIAL)])
    for name, values in accuracies.items():
        print(f"  {name}: {statistics.median(values):.2%} of the test images ({min(values):.2%} to {max(values):.2%})")
    reached = sum(a >= b for a, b in zip(*accuracies.values(), strict=True))
    print(f"  fit is at least as accurate in {reached} of {options.rounds} rounds")
    return {"times": times, "accuracies": accuracies, "ratios": ratios}
