"""Show how a run proceeds: a bar on a terminal, lines elsewhere."""

import sys
import time
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import (
    CustomBarColumn,
    ProcessingSpeedColumn,
    RichProgressBarTheme,
)

from mnist_lstm.training.callbacks.checkpoints import is_validated
from mnist_lstm.training.data_module import Batch

LINE_EVERY_S = 20.0
"""Seconds between two lines of plain progress within an epoch."""


def progress_callbacks(enabled: bool | None, command: str) -> tuple[list[Callback], bool]:
    """Return the callbacks that show progress, and Lightning's ``enable_progress_bar``; ``enabled`` False: none."""
    if enabled is False:
        return [], False
    if sys.stdout.isatty() and command != "predict":  # which prints results, and a bar would be drawn between them
        return [BarProgress()], True
    return ([PlainProgress()] if command == "fit" else []), False


class BarProgress(RichProgressBar):
    """Lightning's bar with short metric names, one line kept per epoch."""

    NAMES: ClassVar = {"train/loss": "loss", "train/acc": "acc", "val/acc": "val"}
    EVERY_S = 0.2
    """Seconds between two drawings; Lightning's 0.01 takes a third of a core."""

    def __init__(self) -> None:
        theme = RichProgressBarTheme(metrics_format=".4f", metrics_text_delimiter=" ")
        super().__init__(refresh_rate=round(1 / self.EVERY_S), leave=True, theme=theme)
        self._next_update = 0.0

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Drop the speed and shorten the bar, so that the metrics fit into a line."""
        columns = [c for c in super().configure_columns(trainer) if not isinstance(c, ProcessingSpeedColumn)]
        for column in columns:
            if isinstance(column, CustomBarColumn):
                column.bar_width = 16
        return columns

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Update the bar if it is about to be drawn: an update takes longer than a look at the clock."""
        now = time.monotonic()
        if now >= self._next_update or batch_idx + 1 == self.total_train_batches:
            self._next_update = now + self.EVERY_S
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return loss and accuracies under short names."""
        metrics = {**trainer.callback_metrics, **super().get_metrics(trainer, pl_module)}
        shown = {short: metrics[name] for name, short in self.NAMES.items() if name in metrics}
        return {short: float(value) for short, value in shown.items()}  # type: ignore[arg-type]


class PlainProgress(Callback):
    """Print a line per epoch, for a file, a pipe or a job's log."""

    def __init__(self) -> None:
        self._epoch_start = self._last_line = 0.0
        self._first_step = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = self._last_line = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: a run resumed within an epoch does not start that epoch again."""
        self.on_train_epoch_start(trainer, pl_module)
        self._first_step -= (trainer.fit_loop.batch_idx + 1) // trainer.accumulate_grad_batches

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Print a line now and then within a long epoch."""
        if time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._print_line(trainer, f"step {batch_idx + 1:,} of {trainer.num_training_batches:,}", ())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the epoch."""
        seconds = f"{time.monotonic() - self._epoch_start:.1f} s"
        self._print_line(trainer, seconds, ("val/loss", "val/acc") if is_validated(trainer) else ())

    def _print_line(self, trainer: Trainer, what: str, names: tuple[str, ...]) -> None:
        if not trainer.is_global_zero:
            return
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step // every > self._first_step // every:
            names = ("train/loss", "train/acc", *names)  # logged in this epoch
        metrics = {**trainer.callback_metrics, **trainer.progress_bar_metrics}
        shown = [
            f"{name} {metrics[name]:.2%}" if name.endswith("acc") else f"{name} {metrics[name]:.4f}"
            for name in names
            if name in metrics
        ]
        last = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        print(f"epoch {trainer.current_epoch + 1}{last}  {what}  {'  '.join(shown)}", flush=True)
