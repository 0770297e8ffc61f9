"""Watch the steps of a run: speed, and whether the loss is finite."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mnist_lstm.errors import TrainingError
from mnist_lstm.training import processes
from mnist_lstm.training.data_module import Batch
from mnist_lstm.training.metrics import logs_at


class TrainingMonitor(Callback):
    """Log ``train/images_per_second``, and stop a run whose loss has become infinite or NaN.

    Losses are only read where the device is waited for anyway: at log lines, before validation and after an epoch.
    A trainer whose ``log_every_n_steps`` is more than the steps of an epoch logs once per epoch instead of never.
    """

    def __init__(self) -> None:
        self.has_started = False  # training has begun: the state of a checkpoint, if any, has been restored
        self._losses: list[tuple[int, Tensor]] = []  # each with its step
        self._last_step = 0
        self._images = 0
        self._seconds = 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run resumed within an epoch does not start that epoch again."""
        self.has_started = True
        steps = max(1, trainer.num_training_batches // trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, steps))  # type: ignore[attr-defined]
        self._restart_clock()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add a batch; log after every ``log_every_n_steps`` steps."""
        step = trainer.global_step
        is_new_step = step > self._last_step  # gradient accumulation: batches share a step
        self._last_step = step
        self._losses.append((step, outputs["loss"]))
        self._images += len(batch[0])
        if is_new_step and logs_at(trainer, step):
            self._stop(trainer)
            # a number would be copied to the device, and a GPU would be waited for
            images = processes.total(torch.tensor(self._images))
            pl_module.log("train/images_per_second", torch.tensor(int(images) / self._seconds))
            self._restart_clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before validation, and leave its time out."""
        self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock: there may be more steps in this epoch."""
        if trainer.training or (trainer.state.fn == "fit" and not trainer.sanity_checking):
            self._since = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before checkpoints are written."""
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        """Check the losses so far, and stop the clock."""
        if self._losses:
            losses = processes.total(torch.stack([loss for _, loss in self._losses])) / processes.count()
            finite = torch.isfinite(losses)
            if not bool(finite.all()):
                first = int((~finite).nonzero()[0])
                step, loss = self._losses[first][0], losses[first]
                raise TrainingError(
                    f"the loss became {loss.item()} at step {step} (epoch {trainer.current_epoch + 1}); try a smaller "
                    "--model.learning_rate, --trainer.gradient_clip_val 1.0, or --trainer.precision 32-true"
                )
            self._losses.clear()
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def _restart_clock(self) -> None:
        self._images, self._seconds, self._since = 0, 0.0, time.perf_counter()
