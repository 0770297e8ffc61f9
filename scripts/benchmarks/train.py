"""Time ``mnist-lstm fit`` against loops that do less, one epoch of each in turn.

``fit`` runs with all it has: metrics, progress, TensorBoard, validation and checkpoints. Run this in a terminal: there
its progress is a bar, elsewhere one line per epoch. Between two epochs of ``fit`` runs one of each rival:

    the bare loop      a plain PyTorch loop: same images in memory, same network, optimizer, precision and threads
    ... with graphs    on a GPU: the bare loop whose loss and gradients are a CUDA graph, as they are in ``fit``
    the limit          network and optimizer on one and the same batch, for as many steps
    the tutorial loop  torchvision's MNIST and ToTensor through a DataLoader, batches of 64, Adam, float32; on all
                       60,000 images, where the others train on 55,000; on all threads and on one. It reads inputs from
                       0 to 1, not normalised, as the tutorials do
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from benchmarks import measure, rivals
from mnist_lstm.errors import InputError
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.training import run as training
from mnist_lstm.training.cli import MNISTCLI
from mnist_lstm.training.data_module import DigitImages
from mnist_lstm.training.quiet import quiet_lightning

CONFIGS = Path(__file__).parents[2] / "configs"
GPU_CONFIGS = {"32-true": "gpu.yaml", "bf16-mixed": "gpu_mixed.yaml"}
LEARNING_RATE = 6e-3

STEPS, PAUSE = "fit: its steps", "fit: its pause between epochs"
EPOCH = "fit: its epoch with validation and checkpoints"
BARE, GRAPHED, LIMIT = "the bare loop", "... with graphs", "the limit"
TUTORIAL, ONE_THREAD = "the tutorial loop", "... on one thread"


class Rounds(Checkpoint):  # Lightning calls callbacks of this type last, so that an epoch includes all others
    """Time each epoch of a run, and after it an epoch of each rival.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.times: measure.Times = {}
        self.facts: dict[str, Any] = {}
        self._round = 0
        self._start = self._first_step = self._last_step = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the first epoch."""
        self._start = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the first step."""
        self._first_step = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time; after the last step it counts."""
        if batch_idx + 1 == trainer.num_training_batches:
            rivals.wait_for(pl_module.device)
        self._last_step = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the times of the epoch, and run the rivals."""
        rivals.wait_for(pl_module.device)
        epoch = time.perf_counter() - self._start
        steps = self._last_step - self._first_step
        for name, seconds in ((STEPS, steps), (EPOCH, epoch), (PAUSE, epoch - steps)):
            self._note(name, seconds)
        self._run_rivals(trainer, pl_module)
        self._round += 1
        self._start = time.perf_counter()

    def _run_rivals(self, trainer: Trainer, pl_module: LightningModule) -> None:
        digits, network = trainer.train_dataloader.dataset, pl_module.model  # type: ignore[union-attr]
        assert isinstance(digits, DigitImages)
        assert digits.labels is not None
        assert isinstance(network, RowLSTM)
        steps = int(trainer.num_training_batches)
        images, labels, size = digits.images, digits.labels, self.options.batch_size
        same = (network, LEARNING_RATE, self.options.precision, pl_module.device)
        for name, batches in ((BARE, rivals.shuffled), (LIMIT, rivals.fixed)):
            self._note(name, rivals.BareLoop(*same).run(batches(images, labels, size, steps)))
        if self.options.accelerator == "gpu":
            loop = rivals.GraphLoop(*same)
            loop.capture(*next(rivals.fixed(images, labels, size, 1)))
            self._note(GRAPHED, loop.run(rivals.shuffled(images, labels, size, steps)))
        self.facts = {"threads": torch.get_num_threads(), "weights": _size(network), "steps": steps}
        if self.options.tutorial:
            for name, number in ((TUTORIAL, self.options.all_threads), (ONE_THREAD, 1)):
                with measure.threads(number):
                    seconds, tutorial = rivals.tutorial_loop(self.options.data_dir, self._round, self.options.steps)
                self._note(name, seconds)
                self.facts["weights of the tutorial loop"] = _size(tutorial)

    def _note(self, name: str, seconds: float) -> None:
        measured = self.times.setdefault(name, [])
        if self._round:  # the first warms up
            measured.append(seconds)


class SyncWarnings(Callback):
    """Let PyTorch warn whenever the host waits for the GPU, from the first step of an epoch to its validation."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch the warnings on."""
        torch.cuda.set_sync_debug_mode("warn")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch them off."""
        torch.cuda.set_sync_debug_mode("default")


class WatchedCLI(MNISTCLI):
    """``mnist-lstm fit`` with one more callback, up to the end of training.

    Args:
        args: the command line without the program's name.
        callback: runs after all others.
    """

    def __init__(self, args: list[str], callback: Callback) -> None:
        self.callback = callback
        super().__init__(args)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Assemble the trainer."""
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(self.callback)  # type: ignore[attr-defined]
        return trainer

    def fit(self, **kwargs: Any) -> None:
        """Train; test and print nothing."""
        training.fit(self.trainer, self.model, self.datamodule)


def run_fit(args: list[str], callback: Callback) -> MNISTCLI:
    """Run ``mnist-lstm fit ARGS`` with one more callback, and discard its files; return the command."""
    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        return WatchedCLI(["fit", "--trainer.default_root_dir", folder, *args], callback)


def fit_args(options: argparse.Namespace) -> list[str]:
    """Return the arguments of ``fit`` for the network and the loop that are asked for."""
    limit = ["--trainer.limit_train_batches", str(options.steps)] if options.steps else []
    return [
        *("--data.data_dir", str(options.data_dir)),
        *("--data.batch_size", str(options.batch_size)),
        *("--model.hidden_size", str(options.hidden_size)),
        *("--model.bidirectional", str(options.bidirectional).lower()),
        *("--model.learning_rate", str(LEARNING_RATE)),
        *("--trainer.precision", options.precision),
        *("--trainer.max_epochs", str(options.rounds + 1)),
        *("--trainer.check_val_every_n_epoch", "1"),
        *("--pictures_every_n_epochs", "0"),
        *limit,
    ]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results.

    Raises:
        InputError: a GPU is asked for, and there is no CUDA GPU.
    """
    options.all_threads = torch.get_num_threads()
    rounds = Rounds(options)
    hardware = ["--trainer.accelerator", "cpu"]
    if options.accelerator == "gpu":
        if not torch.cuda.is_available():
            raise InputError("--accelerator gpu: PyTorch sees no CUDA GPU on this machine")
        options.tutorial = False
        hardware = ["--config", str(CONFIGS / GPU_CONFIGS[options.precision])]
    run_fit([*hardware, *fit_args(options)], rounds)
    facts, times = rounds.facts, rounds.times
    print(
        f"{options.hidden_size} units{' in both directions' if options.bidirectional else ''}, batches of "
        f"{options.batch_size}, {options.precision}, {facts['threads']} of {options.all_threads} threads, "
        f"{facts['weights']:,} weights, {facts['steps']:,} steps"
    )
    pairs = [(STEPS, BARE), (EPOCH, BARE), (BARE, LIMIT), (PAUSE, STEPS)]
    pairs += [(EPOCH, TUTORIAL), (EPOCH, ONE_THREAD)] if options.tutorial else []
    pairs += [(STEPS, GRAPHED), (BARE, GRAPHED)] if GRAPHED in times else []
    results = {**facts, "times": times, "ratios": measure.report(times, pairs)}
    if options.accelerator == "gpu":
        results["waits"], steps = _count_waits([*hardware, *fit_args(options), "--trainer.max_epochs", "1"])
        print(f"  the host waited {results['waits']} times for the GPU in {steps} steps; one step in 50 is logged")
    return results


def _count_waits(args: list[str]) -> tuple[int, int]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = run_fit(args, SyncWarnings())
    return sum("synchroniz" in str(warning.message) for warning in caught), fitted.trainer.global_step


def _size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
