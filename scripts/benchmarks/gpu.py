"""What `configs/gpu.yaml` and `configs/gpu_mixed.yaml` are worth on one CUDA GPU.

An epoch of ``fit`` and one of the bare loop in turn, as in ``train``; which kernel the LSTM runs on in every precision;
whether a step waits for the GPU; and the seconds of training to 99 % of the validation images.
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
from benchmarks.train import Rounds, fit_args, prepare, run_fit
from mnist_lstm.errors import InputError
from mnist_lstm.model import RowLSTM

CONFIGS = Path(__file__).parents[2] / "configs"
GOAL = 0.99


class Watched(Callback):
    """Let PyTorch warn whenever the host waits for the GPU, from the first step of an epoch to its validation."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn from here on."""
        torch.cuda.set_sync_debug_mode("warn")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn no longer."""
        torch.cuda.set_sync_debug_mode("default")


class UntilGoal(Callback):
    """Take the time at which the validation accuracy first reaches the goal."""

    seconds: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the accuracy, and stop when it is there."""
        if not trainer.sanity_checking and float(trainer.callback_metrics["val/acc"]) >= GOAL:
            self.seconds = time.perf_counter() - self._start
            trainer.should_stop = True


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured.

    Raises:
        InputError: there is no CUDA GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("PyTorch sees no CUDA GPU on this machine; train measures the CPU")
    prepare(options.data_dir)
    results: dict[str, Any] = {"kernels": {name: _kernels(kind) for name, kind in _PRECISIONS.items()}}
    for name, kernels in results["kernels"].items():
        print(f"{name}: {'cuDNN' if kernels['cudnn'] else 'NOT cuDNN'}, {kernels['launches']} launches a forward pass")
    for config in ("gpu", "gpu_mixed"):
        options.precision = "bf16-mixed" if config == "gpu_mixed" else "32-true"
        chosen = ["--config", str(CONFIGS / f"{config}.yaml")]
        chosen += ["--data.data_dir", options.data_dir, "--test_after_fit", "false"]
        rounds, goal = Rounds(options), UntilGoal()
        run_fit([*chosen, *fit_args(options)], rounds)
        run_fit(chosen, goal)
        waits, steps = _count_waits([*chosen, "--trainer.max_epochs", "1"])
        print(f"{config}: {options.hidden_size} units, batches of {options.batch_size}")
        measure.print_times(rounds.times)
        ratios = [
            measure.compare(rounds.times, "fit: its steps", "the bare loop"),
            measure.compare(rounds.times, "the bare loop", "the limit"),
        ]
        measure.print_ratios(ratios)
        print(f"  the host waited {waits} times in {steps} steps; the log lines, one in 50 steps, have to")
        print(f"  {GOAL:.0%} of the validation images after {goal.seconds or float('nan'):.1f} s of training")
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
        fitted = run_fit(args, Watched())
    return sum("synchroniz" in str(warning.message) for warning in caught), fitted.trainer.global_step


_PRECISIONS = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def _kernels(kind: torch.dtype | None) -> dict[str, Any]:
    """Tell what a forward pass of the default network runs on."""
    network = RowLSTM(bidirectional=True).cuda()
    images, labels = torch.randn(128, 28, 28, device="cuda"), torch.zeros(128, dtype=torch.long, device="cuda")
    for _ in range(2):  # the first builds
        with (
            torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
            torch.autocast("cuda", kind or torch.float16, enabled=kind is not None),
        ):
            F.cross_entropy(network(images), labels)
    names = {event.key: event.count for event in profile.key_averages()}
    return {
        "cudnn": any("_cudnn_rnn" in name for name in names),
        "launches": sum(count for name, count in names.items() if "LaunchKernel" in name),
    }
