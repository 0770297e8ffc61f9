"""How long ``fit`` takes to be as accurate as the tutorial loop is after its one epoch, with the same network.

The recipe was chosen on the validation images; the test images are looked at once by either side, at the end.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks import measure, rivals
from benchmarks.train import prepare, run_fit
from mnist_lstm.mnist_format import normalise

RECIPE = Path(__file__).parents[2] / "configs" / "sprint.yaml"


class Stopwatch(Callback):
    """Time the training, from its first step to its end, validation and checkpoints included."""

    seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self._start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._start


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    data = prepare(options.data_dir)
    data.setup("test")
    digits = data._sets["test"]
    images, labels = digits.images, digits.labels
    times: measure.Times = {"fit": [], "the tutorial loop": []}
    accuracies: dict[str, list[float]] = {name: [] for name in times}
    for seed in range(options.rounds):
        watch = Stopwatch()
        args = ["--config", str(RECIPE), "--seed_everything", str(seed), "--data.data_dir", options.data_dir]
        fitted = run_fit([*args, "--test_after_fit", "false"], watch)
        seconds, tutorial = rivals.tutorial_loop(options.data_dir, seed)
        times["fit"].append(watch.seconds)
        times["the tutorial loop"].append(seconds)
        with torch.inference_mode():
            for name, logits in (
                ("fit", fitted.model.eval()(normalise(images))),
                ("the tutorial loop", tutorial(images.float() / 255)),
            ):
                accuracies[name].append(float((logits.argmax(dim=1) == labels).float().mean()))
    measure.print_times(times)
    for name, values in accuracies.items():
        print(f"  {name}: {statistics.median(values):.2%} of the test images ({min(values):.2%} to {max(values):.2%})")
    ratio = measure.compare(times, "fit", "the tutorial loop")
    measure.print_ratios([ratio])
    ahead = sum(a >= b for a, b in zip(*accuracies.values(), strict=True))
    print(f"  fit is as accurate or more so in {ahead} of {options.rounds} rounds")
    return {"times": times, "accuracies": accuracies, "ratios": [ratio]}
