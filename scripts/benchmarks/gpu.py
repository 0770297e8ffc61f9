"""Measure training on one CUDA GPU with ``configs/gpu.yaml`` and ``configs/gpu_mixed.yaml``.

An epoch of ``fit`` against one of the bare loop, as in ``train``; the kernel that the LSTM runs on, in each precision;
how often a step waits for the GPU; and the seconds of training to 99 % validation accuracy.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks import measure
from benchmarks.train import BARE, LIMIT, STEPS, Rounds, fit_args, run_fit
from mnist_lstm.errors import InputError
from mnist_lstm.network.model import RowLSTM

CONFIGS = Path(__file__).parents[2] / "configs"
GOAL = 0.99
AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class SyncWarnings(Callback):
    """Let PyTorch warn whenever the host waits for the GPU, from the first step of an epoch to its validation."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch the warnings on."""
        torch.cuda.set_sync_debug_mode("warn")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch them off."""
        torch.cuda.set_sync_debug_mode("default")


class UntilGoal(Callback):
    """Take the time at which the validation accuracy first reaches the goal, and stop."""

    seconds: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if the goal is reached."""
        if not trainer.sanity_checking and float(trainer.callback_metrics["val/acc"]) >= GOAL:
            self.seconds = time.perf_counter() - self._start
            trainer.should_stop = True


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results.

    Raises:
        InputError: there is no CUDA GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("PyTorch sees no CUDA GPU on this machine; train measures the CPU")
    options.tutorial = False
    results: dict[str, Any] = {"kernels": {name: _kernels(dtype) for name, dtype in AUTOCAST.items()}}
    for name, kernels in results["kernels"].items():
        kind = "cuDNN" if kernels["cudnn"] else "NOT cuDNN"
        print(f"{name}: {kind}, {kernels['launches']} launches per forward pass")
    for config, precision in (("gpu", "32-true"), ("gpu_mixed", "bf16-mixed")):
        options.precision = precision
        recipe = ["--config", str(CONFIGS / f"{config}.yaml"), "--data.data_dir", str(options.data_dir)]
        rounds, goal = Rounds(options), UntilGoal()
        run_fit([*recipe, *fit_args(options)], rounds)
        run_fit(recipe, goal)
        waits, steps = _count_waits([*recipe, "--trainer.max_epochs", "1"])
        print(f"{config}: {options.hidden_size} units, batches of {options.batch_size}")
        ratios = measure.report(rounds.times, [(STEPS, BARE), (BARE, LIMIT)])
        print(f"  the host waited {waits} times in {steps} steps; each log line, one in 50 steps, has to")
        print(f"  {GOAL:.0%} validation accuracy after {goal.seconds or float('nan'):.1f} s of training")
        results[config] = {
            "times": rounds.times,
            "ratios": ratios,
            "waits": waits,
            "steps": steps,
            "seconds to the goal": goal.seconds,
        }
    return results


def _count_waits(args: list[str]) -> tuple[int, int]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = run_fit(args, SyncWarnings())
    return sum("synchroniz" in str(warning.message) for warning in caught), fitted.trainer.global_step


def _kernels(dtype: torch.dtype | None) -> dict[str, Any]:
    """Profile a forward pass of the default network; return whether it runs on cuDNN, and its kernel launches."""
    network = RowLSTM().cuda()
    images, labels = torch.randn(128, 28, 28, device="cuda"), torch.zeros(128, dtype=torch.long, device="cuda")
    for _ in range(2):  # the first sets up
        with (
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
            torch.autocast("cuda", dtype or torch.float16, enabled=dtype is not None),
        ):
            F.cross_entropy(network(images), labels)
    names = {event.key: event.count for event in profile.key_averages()}
    return {
        "cudnn": any("_cudnn_rnn" in name for name in names),
        "launches": sum(count for name, count in names.items() if "LaunchKernel" in name),
    }
