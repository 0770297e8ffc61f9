"""Take the seconds of training until validation first reaches an accuracy, for one seed per round.

Capturing CUDA graphs and validation are included; for the first seed, so is the first use of the device.
"""

import argparse
import statistics
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.train import run_fit


class UntilGoal(Callback):
    """Take the time from the start of a fit to the end of the validation that reaches the goal, and stop.

    Args:
        share: accuracy, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.accuracies: list[float] = []
        self.seconds: float | None = None  # None: never reached
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if the goal is reached."""
        if trainer.sanity_checking:
            return
        self.accuracies.append(float(trainer.callback_metrics["val/acc"]))
        if self.accuracies[-1] >= self.share:
            self.seconds = time.perf_counter() - self._start
            trainer.should_stop = True


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    configs = [part for config in options.config for part in ("--config", config)]
    goals = []
    for seed in range(options.rounds):
        goal = UntilGoal(options.share)
        run_fit([*configs, "--data.data_dir", str(options.data_dir), "--seed_everything", str(seed)], goal)
        goals.append(goal)
        after = f"after {goal.seconds:.2f} s" if goal.seconds else "never"
        print(f"seed {seed}: {options.share:.1%} {after}, {len(goal.accuracies)} validations", flush=True)
    seconds = [goal.seconds for goal in goals]
    reached = [second for second in seconds if second is not None]
    median = statistics.median(reached) if len(reached) == len(seconds) else None
    print(f"median {median:.2f} s" if median else f"{len(reached)} of {len(seconds)} reach it")
    return {"seconds": seconds, "median": median, "accuracies": [goal.accuracies for goal in goals]}
