"""Time a full-featured ``fit`` against loops that do less, an epoch of each in turn.

``fit`` runs as its users run it: through its command line, with metrics, progress bar on a terminal, TensorBoard and
checkpoints. Between two of its epochs come an epoch of each rival:

    the bare loop      PyTorch's own loop, same images in memory, same network, optimiser, precision and threads
    the limit          network and optimiser alone on one batch, the same number of steps
    the tutorial loop  torchvision's MNIST and ToTensor through a DataLoader, batches of 64, Adam, float32 (all 60,000
                       images; the others train on 55,000), on all threads and on one
"""

import argparse
import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks import measure, rivals
from mnist_lstm.data import Batches, MNISTDataModule
from mnist_lstm.errors import InputError
from mnist_lstm.lightning_cli import MNISTCLI, quiet_lightning
from mnist_lstm.model import RowLSTM

LEARNING_RATE = 6e-3


class Rounds(Callback):
    """Time each epoch of a run, and then an epoch of each rival.

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
        """Take the time of the first step."""
        self._first_step = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time of the step, which is the last in the end."""
        if pl_module.device.type == "cuda" and batch_idx + 1 == trainer.num_training_batches:
            torch.cuda.synchronize()
        self._last_step = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the epoch, which validation and checkpoints have ended, and run the rivals."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        end = time.perf_counter()
        steps = self._last_step - self._first_step
        self._note("fit: its steps", steps)
        self._note("fit: its epoch with validation and checkpoints", end - self._start)
        self._note("fit: its pause between epochs", end - self._start - steps)
        self._run_rivals(trainer, pl_module)
        self._round += 1
        self._start = time.perf_counter()

    def _run_rivals(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loader = trainer.train_dataloader
        assert isinstance(loader, Batches)
        images, labels = loader.dataset.images, loader.dataset.labels
        assert labels is not None
        steps = int(trainer.num_training_batches)
        network = pl_module.model
        assert isinstance(network, RowLSTM)
        for name, batches in (("the bare loop", rivals.shuffled), ("the limit", rivals.fixed)):
            bare = rivals.BareLoop(network, LEARNING_RATE, self.options.precision, pl_module.device)
            self._note(name, bare.run(batches(images, labels, loader.batch_size, steps)))
        self.facts = {"threads": torch.get_num_threads(), "weights": _size(network), "steps": steps}
        if self.options.tutorial:
            for name, number in (("the tutorial loop", self.options.all_threads), ("... on one thread", 1)):
                with measure.threads(number):
                    seconds, tutorial = rivals.tutorial_loop(self.options.data_dir, self._round, self.options.steps)
                self._note(name, seconds)
                self.facts["weights of the tutorial loop"] = _size(tutorial)

    def _note(self, name: str, seconds: float) -> None:
        seconds_so_far = self.times.setdefault(name, [])
        if self._round:  # the first warms up
            seconds_so_far.append(seconds)


class WatchedCLI(MNISTCLI):
    """``mnist-lstm fit`` with one callback more, which comes after all others.

    Args:
        args: the command line without the program's name.
        callback: the one more.
    """

    def __init__(self, args: list[str], callback: Callback) -> None:
        self.callback = callback
        super().__init__(args)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer."""
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.append(self.callback)  # type: ignore[attr-defined]
        return trainer


def run_fit(args: list[str], callback: Callback) -> MNISTCLI:
    """Run ``mnist-lstm fit ARGS`` on a terminal that nobody sees, with one callback more; its files are thrown away."""
    quiet_lightning()
    for package in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{package}").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, unseen_terminal():
        return WatchedCLI(["fit", "--trainer.default_root_dir", folder, *args], callback)


def fit_args(options: argparse.Namespace) -> list[str]:
    """Return the options of ``fit`` for the network and the loop that are asked for."""
    limit = ["--trainer.limit_train_batches", str(options.steps)] if options.steps else []
    return [
        *("--data.data_dir", options.data_dir),
        *("--data.batch_size", str(options.batch_size)),
        *("--model.hidden_size", str(options.hidden_size)),
        *("--model.bidirectional", str(options.bidirectional).lower()),
        *("--model.learning_rate", str(LEARNING_RATE)),
        *("--trainer.precision", options.precision),
        *("--trainer.max_epochs", str(options.rounds + 1)),
        *("--pictures_every_n_epochs", "0"),
        *("--test_after_fit", "false"),
        *limit,
    ]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    options.all_threads = torch.get_num_threads()
    rounds = Rounds(options)
    run_fit(["--trainer.accelerator", "cpu", *fit_args(options)], rounds)
    times = rounds.times
    print(
        f"{options.hidden_size} units{' in both directions' if options.bidirectional else ''}, batches of "
        f"{options.batch_size}, {options.precision}, {rounds.facts['threads']} of {options.all_threads} threads, "
        f"{rounds.facts['weights']:,} weights, {rounds.facts['steps']:,} steps"
    )
    measure.print_times(times)
    ratios = [
        measure.compare(times, what, over)
        for what, over in (
            ("fit: its steps", "the bare loop"),
            ("fit: its epoch with validation and checkpoints", "the bare loop"),
            ("the bare loop", "the limit"),
            ("fit: its pause between epochs", "fit: its steps"),
            ("fit: its epoch with validation and checkpoints", "the tutorial loop"),
            ("fit: its epoch with validation and checkpoints", "... on one thread"),
        )
        if over in times
    ]
    measure.print_ratios(ratios)
    return {**rounds.facts, "times": times, "ratios": ratios}


def prepare(data_dir: str) -> MNISTDataModule:
    """Fetch MNIST if need be.

    Raises:
        InputError: it cannot be had.
    """
    data = MNISTDataModule("mnist", data_dir)
    data.prepare_data()
    return data


@contextlib.contextmanager
def unseen_terminal() -> Iterator[None]:
    """Let standard output be a terminal, so that bars are drawn, and throw away what is written there."""
    try:
        import pty
    except ImportError as error:  # Windows
        raise InputError(
            "this benchmark draws its progress bars on a pseudo-terminal, which Windows has not"
        ) from error
    main, terminal = pty.openpty()
    before = os.dup(1)
    os.dup2(terminal, 1)

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(main, 65536):
                pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(terminal)
        reader.join(1)
        os.close(main)


def _size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
