"""One trial: a run of `fit`, in a folder of its own, without the test that ends it."""

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mnist_lstm.errors import InputError, WriteError
from mnist_lstm.files import write
from mnist_lstm.training.callbacks.validation import Metrics, OnValidation
from mnist_lstm.training.cli import MNISTCLI
from mnist_lstm.training.quiet import quiet_lightning

LAST = "--test_after_fit=false"
"""The last argument of each trial: none looks at the test set."""


class TrialRun(MNISTCLI):
    """A run of `fit` that is watched.

    Args:
        args: arguments after ``fit``.
        on_start: called with the run's folder.
        on_validation: called with val/loss and val/acc after each validation; the run ends after the epoch in which it
            returns True.
    """

    def __init__(
        self, args: list[str], on_start: Callable[[Path], None], on_validation: Callable[[Metrics], bool]
    ) -> None:
        self._on_start, self._on_validation = on_start, on_validation
        super().__init__(["fit", *args, LAST])

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Add what watches the run."""
        trainer = super().instantiate_trainer(**kwargs)
        if trainer.world_size > 1:
            raise InputError("--trainer.devices: a trial is one process; start a worker for each device")
        assert self.run_folder is not None  # no fast dev run
        self._on_start(self.run_folder)
        trainer.callbacks.append(OnValidation(self._on_validation))  # type: ignore[attr-defined]
        return trainer


def run_trial(args: list[str], on_start: Callable[[Path], None], on_validation: Callable[[Metrics], bool]) -> None:
    """Run `fit` as `TrialRun` does; what it prints goes to ``fit.txt`` in its folder."""
    folders: list[Path] = []

    def start(folder: Path) -> None:
        folders.append(folder)
        on_start(folder)

    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), quiet_lightning(), _warnings_only():
            TrialRun(args, start, on_validation)
    finally:
        for folder in folders:
            with contextlib.suppress(OSError, WriteError):
                write(folder / "fit.txt", output.getvalue().encode())


@contextlib.contextmanager
def _warnings_only() -> Iterator[None]:
    """Drop what Lightning says of each run: its seed, its device, its end."""
    loggers = [logging.getLogger(f"lightning.{package}") for package in ("pytorch", "fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
