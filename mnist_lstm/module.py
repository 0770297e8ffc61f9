"""Training, in Lightning's terms: `DigitClassifier` is the network with its loss, metrics and optimiser."""

import inspect
import math
import os
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from mnist_lstm.data import Batch
from mnist_lstm.errors import InputError
from mnist_lstm.interval import Interval
from mnist_lstm.model import Cell, Init, Readout, RowLSTM
from mnist_lstm.scan import Scan
from mnist_lstm.schedule import Schedule, learning_rate_factor


class DigitClassifier(LightningModule):
    """A `RowLSTM` that learns to name digits.

    Args:
        input_size: Pixels a row, 28.
        hidden_size: Units of one layer in one direction. 128 read MNIST to about 99 % in two to three minutes on
            two cores; 64 are the tutorials' choice.
        num_layers: Layers, each reading the one below.
        num_classes: Classes to tell apart.
        bidirectional: Read from the top and from the bottom.
        dropout: Probability, from 0 up to but not including 1, of dropping a unit between two layers.
        cell: lstm, gru or rnn.
        init: orthogonal: recurrent weights orthogonal gate by gate (Saxe et al. 2014), input weights Glorot-uniform,
            biases zero. pytorch: PyTorch's own.
        forget_bias: Bias of the forget gates at the start; default: 1 with orthogonal (Jozefowicz et al. 2015),
            PyTorch's own with pytorch.
        readout: What the linear layer sees: the final state of each direction (final), or the mean and the maximum
            over all rows (mean_max).
        straighten: Bring every image upright first, by the slant and the centre of its ink: fewer errors for one to
            four percent of the time.
        scan: Order of reading: rows; columns; pixels, one by one in 784 steps; permuted, these in a fixed random order.
        edges: Read beside each row how its ink rises in eight directions: fewer errors for a quarter more time with
            two layers, and nearly twice the time with one. Not with scan pixels or permuted.
        optimizer: adamw (Loshchilov & Hutter 2019) or adam (Kingma & Ba 2015).
        learning_rate: Peak of the schedule, greater than 0. Chosen on validation with batches of 128: 0.003 and 0.006
            are within noise of each other.
        weight_decay: Pull of the weights towards zero, at least 0; default: 0.01 with adamw, 0 with adam, as PyTorch
            has it.
        schedule: Learning rate by step. one_cycle: up for 30 % of the run, then down (Smith & Topin 2018). cosine:
            down from the start. constant.
        label_smoothing: Share of the target, from 0 up to but not including 1, spread over all classes
            (Szegedy et al. 2016); the accuracy is not touched by it.
        dataset: Name of the data set, kept in checkpoints. A fit sets it to that of its data module.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        input_size: int = 28,
        hidden_size: int = 128,
        num_layers: int = 1,
        num_classes: int = 10,
        bidirectional: bool = True,
        dropout: float = 0.0,
        cell: Cell = "lstm",
        init: Init = "orthogonal",
        forget_bias: float | None = None,
        readout: Readout = "final",
        straighten: bool = False,
        scan: Scan = "rows",
        edges: bool = False,
        optimizer: Literal["adamw", "adam"] = "adamw",
        learning_rate: float = 6e-3,
        weight_decay: float | None = None,
        schedule: Schedule = "one_cycle",
        label_smoothing: float = 0.0,
        dataset: str = "mnist",
    ) -> None:
        super().__init__()
        if optimizer not in ("adamw", "adam"):
            raise InputError(f"optimizer {optimizer!r}: must be adamw or adam")
        if not 0 < learning_rate < math.inf:
            raise InputError(f"learning_rate {learning_rate}: must be greater than 0")
        if weight_decay is not None and not 0 <= weight_decay < math.inf:
            raise InputError(f"weight_decay {weight_decay}: must be at least 0")
        if schedule not in ("one_cycle", "cosine", "constant"):
            raise InputError(f"schedule {schedule!r}: must be one_cycle, cosine or constant")
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing {label_smoothing}: must be at least 0 and less than 1")
        self.save_hyperparameters(logger=False)
        self.model = RowLSTM(
            input_size,
            hidden_size,
            num_layers,
            num_classes,
            bidirectional,
            dropout,
            cell,
            init,
            forget_bias,
            readout,
            straighten,
            scan,
            edges,
        )
        self.val_acc = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.test_acc = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.test_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self._interval = Interval()
        self._rng_state: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalised images ``(N, 28, 28)`` into logits ``(N, 10)``."""
        logits: Tensor = self.model(images)
        return logits

    def setup(self, stage: str) -> None:
        """Take the data set's name from the data module, which knows what auto has come to."""
        dataset = getattr(getattr(self.trainer, "datamodule", None), "dataset", None)
        if stage == "fit" and dataset is not None:
            self.hparams["dataset"] = dataset

    def describe(self) -> str:
        """Say in one line what network this is."""
        sizes = self.hparams
        directions = " in both directions" if sizes["bidirectional"] else ""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"{sizes['cell']}, {sizes['num_layers']} x {sizes['hidden_size']} units{directions}, {parameters:,} weights"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; Lightning sets this one 44 times a step, and it is neither a weight nor a module."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch; metrics wait until they are logged."""
        loss, logits, labels = self._step(batch)
        self._interval.add(self.global_step + 1, loss, logits, labels)
        return loss

    # Lightning asks at every step which arguments this takes; with the answer at hand that is 3 us instead of 12
    training_step.__signature__ = inspect.signature(training_step)  # type: ignore[attr-defined]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log what the steps since the last line did."""
        if not self._interval.is_due or self.global_step != self._interval.step:  # several batches may make one step
            return
        self._interval.check_finite(self.current_epoch)
        figures = self._interval.flush()
        self.log("train/images_per_second", figures.pop("train/images_per_second"))
        # what is on Lightning's bar is brought to the host at every step, and a GPU would have to be waited for
        self.log_dict(figures, prog_bar=self.device.type == "cpu")

    def on_fit_start(self) -> None:
        """Forget an earlier fit of the same module."""
        self._interval = Interval(self.trainer.log_every_n_steps)  # type: ignore[attr-defined]
        # the optimiser asks at every step whether there is a GPU; in the way that Lightning chooses for programs that
        # fork, the answer takes 45 us without a driver, in the other 1 us
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

    def on_train_epoch_start(self) -> None:
        """Count the time of the steps, but not that of validation and checkpoints."""
        self._interval.start_clock()

    def on_validation_start(self) -> None:
        """See that all is well before it is measured, and leave the time out."""
        self._interval.check_finite(self.current_epoch)
        self._interval.stop_clock()

    def on_validation_end(self) -> None:
        """Go on counting the time: there may be more steps in this epoch."""
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self._interval.start_clock()

    def on_train_epoch_end(self) -> None:
        """See that all is well before a checkpoint is written."""
        self._interval.check_finite(self.current_epoch)
        self._interval.stop_clock()
        if not self._interval.every:
            self._interval.clear()  # nothing will ever be logged

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer is told to, and log the gradient's norm before that, which clipping computes anyway."""
        most = max(gradient_clip_val or 0.0, 0.0)  # Lightning takes what is not positive for no clipping
        by_value = gradient_clip_algorithm == "value"
        due = self._interval.is_due
        # the optimiser's list, since parameters() would look for them in all modules and metrics at every step
        weights = [w for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
        if due or (most and not by_value):
            norm = torch.linalg.vector_norm(torch.cat([w.grad.flatten() for w in weights]))
            if due:
                self.log("train/grad_norm", norm)
            if most and not by_value:
                self._clip_by_norm(weights, most, norm)
        if most and by_value:
            torch.nn.utils.clip_grad_value_(weights, most)

    @staticmethod
    def _clip_by_norm(weights: list[Tensor], most: float, norm: Tensor) -> None:
        if norm.device.type != "cpu":  # whose norm cannot be looked at without waiting
            torch.nn.utils.clip_grads_with_norm_(weights, most, norm)
        elif norm > most:
            factor = most / (norm.item() + 1e-6)
            for weight in weights:
                assert weight.grad is not None
                weight.grad.mul_(factor)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Forget the gradients, as the optimiser's own zero_grad does, without the record that it keeps of that."""
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = None

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser and the schedule, which moves at every step."""
        optimizer_class = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[self.hparams["optimizer"]]
        options = {
            "lr": self.hparams["learning_rate"],
            "weight_decay": self.hparams["weight_decay"],
            # one kernel for all weights; with a loss scale it would hide the unscaled gradients from the clipping
            "fused": self.trainer.precision != "16-mixed",
        }
        optimizer = optimizer_class(
            self.parameters(), **{name: value for name, value in options.items() if value is not None}
        )
        schedule, steps = self.hparams["schedule"], self.trainer.estimated_stepping_batches
        if schedule != "constant" and math.isinf(steps):
            raise InputError(
                f"schedule {schedule} must know where training ends: set --trainer.max_epochs or --trainer.max_steps, "
                "or take --model.schedule constant"
            )
        total_steps = 0 if math.isinf(steps) else int(steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(schedule, step, total_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "train/learning_rate"},
        }

    # evaluation

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Log loss and accuracy; return the logits for those who draw them."""
        loss, logits, labels = self._step(batch)
        self.val_acc.update(logits, labels)
        self.log("val/loss", loss, batch_size=len(labels))
        self.log("val/acc", self.val_acc, prog_bar=True)
        return logits

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy, and count which digit was taken for which."""
        loss, logits, labels = self._step(batch)
        self.test_acc.update(logits, labels)
        self.test_confusion.update(logits, labels)
        self.log("test/loss", loss, batch_size=len(labels))
        self.log("test/acc", self.test_acc)

    def on_test_epoch_end(self) -> None:
        """Log the accuracy of each class, which is the confusion matrix's diagonal over its rows."""
        confusion = self.test_confusion.compute()
        per_class = confusion.diagonal() / confusion.sum(dim=1)
        self.log_dict({f"test/acc_class_{name}": acc for name, acc in enumerate(per_class)})

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities ``(N, num_classes)``."""
        images, _ = batch
        logits: Tensor = self(images)
        return logits.float().softmax(dim=1)

    def _step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        images, labels = batch
        assert labels is not None, "training and evaluation need labels"
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.hparams["label_smoothing"])
        return loss, logits, labels

    # going on where a checkpoint stopped

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the random generators, which dropout draws from."""
        checkpoint["rng_state"] = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":
            device = torch.get_device_module(self.device)
            checkpoint["rng_state"][self.device.type] = device.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the generators' state until training starts; evaluation has no use for it."""
        self._rng_state = checkpoint.get("rng_state", {})

    def on_train_start(self) -> None:
        """Let the options given now, not those in a checkpoint, say how a resumed run goes on."""
        self._interval.start_clock()  # a run that is resumed within an epoch does not start that epoch again
        optimizer, scheduler = self.optimizers(), self.lr_schedulers()
        # a fresh run finds the values that it has already
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group.update(optimizer.defaults)  # type: ignore[union-attr]
            group["initial_lr"] = self.hparams["learning_rate"]
        scheduler.base_lrs = [self.hparams["learning_rate"]]  # type: ignore[union-attr]
        for group, factor in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):  # type: ignore[union-attr]
            group["lr"] = self.hparams["learning_rate"] * factor(scheduler.last_epoch)  # type: ignore[union-attr]

        if "cpu" in self._rng_state:
            torch.set_rng_state(self._rng_state["cpu"].cpu())
        if self.device.type in self._rng_state and self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(self._rng_state[self.device.type].cpu())
        self._rng_state = {}
