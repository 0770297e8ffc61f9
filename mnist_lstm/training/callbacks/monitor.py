"""Watch the steps of a run: speed, and whether the loss is finite."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mnist_lstm.errors import TrainingError
from mnist_lstm.training.data_module import Batch


class TrainingMonitor(Callback):
    """Log ``train/images_per_second``, and stop a run whose loss has become infinite or NaN.

    Losses are only read where the device is waited for anyway: at log lines, before validation and after an epoch.
    A trainer whose ``log_every_n_steps`` is more than the steps of an epoch logs once per epoch instead of never.

    Attributes:
        has_started: whether training has begun, after the state of a checkpoint has been restored.
    """

    def __init__(self) -> None:
        self.has_started = False
        self._losses: list[Tensor] = []
        self._steps: list[int] = []
        self._images = 0
        self._seconds = 0.0
        self._since: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run resumed within an epoch does not start that epoch again."""
        self.has_started = True
        steps = max(1, trainer.num_training_batches // trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, steps))  # type: ignore[attr-defined]
        self._reset()
        self._start_clock()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start_clock()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add a batch; log after every ``log_every_n_steps`` steps."""
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        is_new_step = step > (self._steps[-1] if self._steps else 0)  # gradient accumulation: batches share a step
        self._losses.append(outputs["loss"])
        self._steps.append(step)
        self._images += len(batch[0])
        if every > 0 and step % every == 0 and is_new_step:
            self._check_losses(trainer)
            self._stop_clock()
            pl_module.log("train/images_per_second", self._images / self._seconds)
            self._reset()
            self._start_clock()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before validation, and leave its time out."""
        self._check_losses(trainer)
        self._stop_clock()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock: there may be more steps in this epoch."""
        if trainer.training or (trainer.state.fn == "fit" and not trainer.sanity_checking):
            self._start_clock()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check before checkpoints are written."""
        self._check_losses(trainer)
        self._stop_clock()

    def _check_losses(self, trainer: Trainer) -> None:
        if self._losses:
            finite = torch.isfinite(torch.stack(self._losses))
            if not bool(finite.all()):
                first = int((~finite).nonzero()[0])
                raise TrainingError(
                    f"the loss became {self._losses[first].item()} at step {self._steps[first]} (epoch "
                    f"{trainer.current_epoch + 1}); try a smaller --model.learning_rate, --trainer.gradient_clip_val "
                    "1.0, or --trainer.precision 32-true"
                )
        self._losses.clear()

    def _start_clock(self) -> None:
        if self._since is None:
            self._since = time.perf_counter()

    def _stop_clock(self) -> None:
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def _reset(self) -> None:
        self._steps, self._images, self._seconds, self._since = self._steps[-1:], 0, 0.0, None
