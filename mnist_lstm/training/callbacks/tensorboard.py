"""What TensorBoard shows beyond the curves: options, digits, mistakes, explanations."""

import math
import warnings
from itertools import zip_longest
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summary

from mnist_lstm.data.format import CLASS_NAMES, normalise
from mnist_lstm.explain import figures as explain_figures
from mnist_lstm.explain.explanation import explain
from mnist_lstm.explain.units import choose_units
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.plots.digits import confusion_matrix, digit_sheet
from mnist_lstm.training import processes
from mnist_lstm.training.augment import distort
from mnist_lstm.training.data_module import Batch, MNISTDataModule

COLUMNS, ROWS = 8, 4
SHEET_SIZE = COLUMNS * ROWS
"""Digits on a sheet."""


class RunLogger(TensorBoardLogger):
    """Lightning's logger without the scalar ``epoch``, a straight line that would stand before all others."""

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Write scalars."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)


class HyperParameters(Callback):
    """Fill TensorBoard's HPARAMS tab: options beside the best validation accuracy.

    ``options`` are those of the run beside module and data module, such as its seed.
    """

    METRIC = "val/best_acc"

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        self.best = -math.inf
        self._options = options or {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the options; the metric beside them is the last value of the curve of that name."""
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        options = {**pl_module.hparams, **(data_module.hparams if data_module is not None else {}), **self._options}
        for logger in trainer.loggers:
            logger.log_hyperparams(options)
        writer = writer_of(trainer)
        if writer is None:
            return
        plain = {name: value if isinstance(value, int | float) else str(value) for name, value in options.items()}
        for summary in hparams_summary(plain, {self.METRIC: 0.0}):
            writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the best validation accuracy so far."""
        accuracy = trainer.callback_metrics.get("val/acc")
        if trainer.sanity_checking or accuracy is None:
            return
        self.best = max(self.best, float(accuracy))
        for logger in trainer.loggers:
            logger.log_metrics({self.METRIC: self.best}, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Return the best accuracy, for a resumed run."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best accuracy of the interrupted run."""
        self.best = state_dict["best"]


class Pictures(Callback):
    """Show what goes in, what the network is, and where it errs.

    At the start: the graph, a sheet of training digits, and another of distorted ones if they are augmented. After
    every ``every_n_epochs``-th epoch and the last: the confusion matrix and the worst mistakes in validation.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the first training digits and the graph."""
        writer = writer_of(trainer)
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        if writer is None or not isinstance(data_module, MNISTDataModule):
            return
        digits = data_module.train_dataloader().dataset
        images, labels = digits.images[:SHEET_SIZE], digits.labels[:SHEET_SIZE]  # type: ignore[attr-defined]
        captions = [CLASS_NAMES[label] for label in labels]
        title = f"training digits of {data_module.dataset}"
        writer.add_figure("input/digits", digit_sheet(images, captions, title), trainer.global_step)
        if data_module.hparams["augment"]:
            first = images[:COLUMNS].cpu()
            with torch.random.fork_rng(devices=[]):  # the run draws the same distortions with and without this sheet
                forms = torch.cat([first, *(distort(first) for _ in range(1, ROWS))])
            title = "training digits, and below them distorted at random"
            sheet = digit_sheet(forms, captions[:COLUMNS] * ROWS, title, COLUMNS)
            writer.add_figure("input/augmented", sheet, trainer.global_step)
        with warnings.catch_warnings(), torch.no_grad():
            # tracing an LSTM warns of sizes that it checks and of its own replacement; the graph is right
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.filterwarnings("ignore", message=".*torch.jit.trace.* is deprecated", category=Warning)
            writer.add_graph(pl_module.model, normalise(images[:2]).to(pl_module.device))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what the pictures show."""
        images, labels = batch
        if has_writer(trainer) and is_due(trainer, self.every_n_epochs) and labels is not None:
            self._batches.append((images, labels, outputs))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the confusion matrix and the worst mistakes."""
        if not self._batches:
            return
        batches, self._batches = self._batches, []
        if processes.count() > 1:
            of_each = processes.gather([tuple(part.cpu() for part in batch) for batch in batches])
            batches = [batch for group in zip_longest(*of_each) for batch in group if batch is not None]
        writer = writer_of(trainer)
        if writer is None:
            return
        images, labels, logits = (torch.cat(parts) for parts in zip(*batches, strict=True))
        probabilities = logits.float().softmax(dim=1)  # (N, 10)
        predicted = probabilities.argmax(dim=1)
        classes = probabilities.shape[1]
        counts = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
        mistakes = torch.nonzero(predicted != labels).flatten()
        title = f"validation, epoch {trainer.current_epoch + 1}: {len(mistakes)} of {len(labels):,} wrong"
        writer.add_figure("val/confusion", confusion_matrix(counts, title), trainer.global_step)
        worst = mistakes[probabilities[mistakes, labels[mistakes]].argsort()[:SHEET_SIZE]]
        captions = [
            f"{CLASS_NAMES[labels[i]]}, not {CLASS_NAMES[predicted[i]]}\n{probabilities[i, predicted[i]]:.0%}"
            for i in worst.tolist()
        ]
        sheet = digit_sheet(images[worst], captions, f"worst mistakes of the {title}")
        writer.add_figure("val/worst_mistakes", sheet, trainer.global_step)


class Explanations(Callback):
    """Show what the network does with a few validation digits, always the same ones."""

    DIGITS = 3
    OTHERS = 50  # further validation digits, by which the units to draw are chosen

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw after the first batch, with the weights that are validated: averaged ones are swapped out at the end."""
        writer = writer_of(trainer) if batch_idx == 0 and is_due(trainer, self.every_n_epochs) else None
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        if writer is None or not isinstance(data_module, MNISTDataModule):
            return
        digits = data_module.val_dataloader().dataset
        images, labels = digits.images[: self.DIGITS].cpu(), digits.labels[: self.DIGITS]  # type: ignore[attr-defined]
        others = digits.images[self.DIGITS :][: self.OTHERS].to(pl_module.device)  # type: ignore[attr-defined]
        with torch.inference_mode(False), torch.enable_grad():
            network: RowLSTM = pl_module.model  # type: ignore[assignment]
            explained = [explain(network, image, int(label)) for image, label in zip(images, labels, strict=True)]
            units = choose_units(network, others if len(others) else images.to(pl_module.device))
        epoch = f"epoch {trainer.current_epoch + 1}"
        captions = [f"a {CLASS_NAMES[explanation.label]}, {epoch}" for explanation in explained]
        sheet = explain_figures.predictions_sheet(explained, captions)
        writer.add_figure("explain/predictions", sheet, trainer.global_step)
        for index, (explanation, caption) in enumerate(zip(explained, captions, strict=True)):
            gates = explain_figures.gates_sheet(explanation, units, caption)
            writer.add_figure(f"explain/gates_{index}", gates, trainer.global_step)
            rows = explain_figures.rows_sheet(explanation, caption)
            writer.add_figure(f"explain/rows_{index}", rows, trainer.global_step)


def is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Return whether pictures of this epoch are drawn."""
    epoch = trainer.current_epoch + 1
    return not trainer.sanity_checking and (epoch % every_n_epochs == 0 or epoch == trainer.max_epochs)


def writer_of(trainer: Trainer) -> SummaryWriter | None:
    """Return what writes to TensorBoard, or None where nothing is written."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return loggers[0].experiment if loggers and trainer.is_global_zero else None


def has_writer(trainer: Trainer) -> bool:
    """Return whether this process or, of several ones, the first writes to TensorBoard."""
    return any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers)
