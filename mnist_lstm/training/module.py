"""`DigitClassifier`: the network with its loss, metrics, optimizer and schedule, as a LightningModule."""

import math
from dataclasses import asdict
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from mnist_lstm.data.format import SIZE
from mnist_lstm.errors import InputError
from mnist_lstm.network.model import RowLSTM, check_shape
from mnist_lstm.network.options import with_current_names
from mnist_lstm.training.callbacks.chance import ChanceWarning
from mnist_lstm.training.callbacks.checkpoints import ExactResume
from mnist_lstm.training.callbacks.monitor import TrainingMonitor
from mnist_lstm.training.callbacks.processes import SharedRandomness
from mnist_lstm.training.data_module import Batch
from mnist_lstm.training.loss import MeanLoss, mean_loss
from mnist_lstm.training.metrics import IntervalMetrics, logs_at
from mnist_lstm.training.schedule import Schedule, learning_rate_factor

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


class DigitClassifier(LightningModule):
    """A `RowLSTM` that learns to classify digits.

    Args:
        optimizer: adamw (Loshchilov & Hutter 2019) or adam (Kingma & Ba 2015).
        learning_rate: Peak of the schedule. Chosen on validation with batches of 128; 0.003 and 0.006 are within noise
            of each other.
        weight_decay: At least 0; default: PyTorch's, 0.01 with adamw and 0 with adam.
        schedule: Learning rate by step. one_cycle: up for 30 % of the run, then down (Smith & Topin 2018). cosine:
            down from the start. constant.
        label_smoothing: Share of the target spread over all classes, at least 0 and less than 1 (Szegedy et al. 2016).
        no_digit_weight: Weight of the loss of training images that are no digit (data.no_digits): the divergence of the
            answer from all classes being as likely (Hendrycks et al. 2019).
        **network: fields of `NetworkOptions`.
    """

    def __init__(
        self,
        optimizer: Literal["adamw", "adam"] = "adamw",
        learning_rate: float = 6e-3,
        weight_decay: float | None = None,
        schedule: Schedule = "one_cycle",
        label_smoothing: float = 0.0,
        no_digit_weight: float = 0.0,
        **network: Any,
    ) -> None:
        super().__init__()
        own = (
            ("optimizer", optimizer, optimizer in OPTIMIZERS, "adamw or adam"),
            ("learning_rate", learning_rate, 0 < learning_rate < math.inf, "greater than 0"),
            ("weight_decay", weight_decay, weight_decay is None or 0 <= weight_decay < math.inf, "at least 0"),
            ("schedule", schedule, schedule in ("one_cycle", "cosine", "constant"), "one_cycle, cosine or constant"),
            ("label_smoothing", label_smoothing, 0 <= label_smoothing < 1, "at least 0 and less than 1"),
            ("no_digit_weight", no_digit_weight, 0 <= no_digit_weight < math.inf, "at least 0"),
        )
        for name, value, accepted, wanted in own:
            if not accepted:
                raise InputError(f"{name} {value!r}: must be {wanted}")
        network = with_current_names(network)
        self.model = RowLSTM(**network)  # jsonargparse follows this to the options of the command line
        hyper_parameters = asdict(self.model.options) | {name: value for name, value, *_ in own}
        self.save_hyperparameters(hyper_parameters, logger=False)
        self.interval = IntervalMetrics()
        self._coming_step = 0
        num_classes = self.model.options.num_classes
        self.val_loss, self.test_loss = MeanLoss(), MeanLoss()
        self.val_acc = MulticlassAccuracy(num_classes, average="micro")
        self.test_acc = MulticlassAccuracy(num_classes, average="micro")
        self.test_confusion = MulticlassConfusionMatrix(num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalised images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        check_shape(images, self.model.options.input_size, SIZE)
        logits: Tensor = self.model(images)
        return logits

    def configure_callbacks(self) -> list[Callback]:
        """Attach what each fit of this module needs: randomness, exact resume, and checks of loss and accuracy."""
        return [SharedRandomness(), ExactResume(), TrainingMonitor(), ChanceWarning()]

    def compute_loss(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean loss, logits ``(N, 10)`` and labels ``(N,)`` of a batch."""
        images, labels = batch  # (N, 28, 28), (N,)
        if labels is None:
            raise InputError("training and evaluation need labels")
        logits = self(images)  # (N, 10)
        smoothing, weight = self.hparams["label_smoothing"], self.hparams["no_digit_weight"]
        return mean_loss(logits, labels, weight, smoothing, is_share=self.training), logits, labels

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        self._coming_step = self.global_step + 1
        loss, logits, labels = self.compute_loss(batch)
        self.interval.update(loss, logits, labels)
        return loss

    def setup(self, stage: str) -> None:
        """Forget an earlier fit of the same module, before a checkpoint is restored."""
        self.interval.reset()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy of the steps since the last log line."""
        # gradient accumulation: several batches make one step
        if self.global_step == self._coming_step and logs_at(self.trainer, self._coming_step):
            # a metric on the progress bar is read at every step, and a GPU would have to be waited for
            values = {name: torch.tensor(value) for name, value in self.interval.compute().items()}
            self.log_dict(values, prog_bar=self.device.type == "cpu")
            self.interval.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log loss and accuracy; return the logits for callbacks that draw them."""
        loss, logits, labels = self.compute_loss(batch)
        self.val_acc.update(logits, labels)
        self.val_loss.update(loss, len(labels))
        self.log("val/loss", self.val_loss)
        self.log("val/acc", self.val_acc, prog_bar=True)
        return logits

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy, and update the confusion matrix."""
        loss, logits, labels = self.compute_loss(batch)
        self.test_acc.update(logits, labels)
        self.test_confusion.update(logits, labels)
        self.test_loss.update(loss, len(labels))
        self.log("test/loss", self.test_loss)
        self.log("test/acc", self.test_acc)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return probabilities ``(N, 10)``."""
        images, _ = batch
        logits: Tensor = self(images)
        return logits.float().softmax(dim=1)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and a schedule that moves at every step."""
        # one kernel for all weights; with a loss scale it would unscale the gradients after they are clipped
        options: dict[str, Any] = {"lr": self.hparams["learning_rate"], "fused": self.trainer.precision != "16-mixed"}
        if self.hparams["weight_decay"] is not None:
            options["weight_decay"] = self.hparams["weight_decay"]
        optimizer = OPTIMIZERS[self.hparams["optimizer"]](self.parameters(), **options)
        schedule = self.hparams["schedule"]
        if schedule != "constant" and math.isinf(self.trainer.estimated_stepping_batches):
            raise InputError(f"schedule {schedule}: needs an end; set max_epochs or max_steps, or schedule constant")
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            # asked for at every step, since BatchSizeFinder changes the number of steps
            optimizer,
            lambda step: learning_rate_factor(schedule, step, self.trainer.estimated_stepping_batches),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "train/learning_rate"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer says, and log the norm of the gradient before that."""
        weights = optimizer.param_groups[0]["params"]
        limit = gradient_clip_val if gradient_clip_val and gradient_clip_val > 0 else math.inf
        by_value = gradient_clip_algorithm == "value"
        is_logged = logs_at(self.trainer, self._coming_step)
        if is_logged or (limit < math.inf and not by_value):
            norm = torch.nn.utils.clip_grad_norm_(weights, math.inf if by_value else limit)
            if is_logged:
                self.interval.grad_norm = norm
        if by_value and limit < math.inf:
            torch.nn.utils.clip_grad_value_(weights, limit)
