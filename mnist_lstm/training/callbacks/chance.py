"""Warn of a run that learns nothing."""

import math
import sys

from lightning.pytorch import Callback, LightningModule, Trainer

from mnist_lstm.data.format import CLASS_NAMES

MIN_STEPS = 100
"""Before these, any network may still be at chance level."""

MAX_ACCURACY = 1.5 / len(CLASS_NAMES)
MIN_LOSS = 0.97 * math.log(len(CLASS_NAMES))
"""At chance level, accuracy on training images is 1 / classes, and the loss ln(classes) or more."""


class ChanceWarning(Callback):
    """Warn once if an epoch ends with accuracy and loss at chance level, and say what to try.

    What counts is the last log line of the epoch.
    """

    def __init__(self) -> None:
        self.has_warned = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the last log line."""
        logged = trainer.callback_metrics
        if self.has_warned or trainer.global_step < MIN_STEPS or not {"train/acc", "train/loss"} <= logged.keys():
            return
        accuracy, loss = float(logged["train/acc"]), float(logged["train/loss"])
        if accuracy > MAX_ACCURACY or loss < MIN_LOSS:
            return
        self.has_warned = True
        if trainer.is_global_zero:
            print(
                f"mnist-lstm: warning: epoch {trainer.current_epoch + 1} ended at chance level: accuracy "
                f"{100 * accuracy:.1f} % on training images, loss {loss:.2f}; try another --model.learning_rate, "
                "most often a smaller one, --trainer.gradient_clip_val 1.0, or, by pixel, --model.init chrono",
                file=sys.stderr,
            )
