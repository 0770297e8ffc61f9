"""What a run keeps and shows beyond Lightning's own: checkpoints that outlive a resume, pictures, progress."""

import functools
import math
import shutil
import time
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import (
    CustomBarColumn,
    ProcessingSpeedColumn,
    RichProgressBarTheme,
)
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summary

from mnist_lstm import figures
from mnist_lstm.augment import distort
from mnist_lstm.data import Batch, MNISTDataModule
from mnist_lstm.explain import figures as explain_figures
from mnist_lstm.explain.explanation import explain
from mnist_lstm.mnist_format import CLASS_NAMES, normalise
from mnist_lstm.model import RowLSTM

COLUMNS, ROWS = 8, 4
SHEET_SIZE = COLUMNS * ROWS
"""Digits on a sheet."""

PROGRESS_EVERY_S = 20.0
"""Seconds between two lines of plain progress within an epoch."""


class _Checkpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that saves when an epoch has ended, and costs nothing before."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Save nothing, and spend no time on finding that out."""

    @functools.cached_property
    def state_key(self) -> str:
        """Name the callback in checkpoints; Lightning asks for it at every hook, 12 times a step."""
        return super().state_key


class BestCheckpoint(_Checkpoint):
    """Keep ``best.ckpt``, the epoch with the highest validation accuracy.

    A resumed run writes to a folder of its own. It takes the best checkpoint so far along, so that its best is the
    best of the whole training, as if that had not been interrupted.

    Args:
        folder: for the file.
        resumed_from: the checkpoint that the run goes on from, if any.
    """

    def __init__(self, folder: Path, resumed_from: Path | None = None) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor="val/acc",
            mode="max",
            enable_version_counter=False,
            save_on_train_epoch_end=True,  # a run can be resumed exactly from between two epochs alone
        )
        self._resumed_from = resumed_from

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the best checkpoint of the interrupted run and remember its score."""
        assert self.dirpath is not None
        assert self._resumed_from is not None
        # the files of one run lie side by side, wherever the run has been moved since
        old, new = self._resumed_from.with_name("best.ckpt"), Path(self.dirpath, "best.ckpt")
        score = state_dict["best_model_score"]
        if score is None or not old.is_file():
            return
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old, new)
        self.best_model_path = self.kth_best_model_path = str(new)
        self.best_model_score = self.kth_value = score
        self.best_k_models = {str(new): score}


class LastCheckpoint(_Checkpoint):
    """Keep ``last.ckpt``, the latest epoch; ``save_last`` writes it only when there is a new best.

    Args:
        folder: for the file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(dirpath=folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take nothing over: a resumed run has a last epoch of its own."""


class HyperParameters(Callback):
    """Fill TensorBoard's HPARAMS tab: the options of the run beside its best validation accuracy."""

    METRIC = "val/best_acc"

    def __init__(self) -> None:
        self.best = -math.inf

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write down the options; the metric beside them is the last value of the curve of that name."""
        writer = _writer(trainer)
        if writer is None:
            return
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        options = {**pl_module.hparams, **(data_module.hparams if data_module is not None else {})}
        trainer.logger.log_hyperparams(options)  # type: ignore[union-attr]
        plain = {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in options.items()
        }
        for summary in hparams_summary(plain, {self.METRIC: 0.0}):
            writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the best validation accuracy so far."""
        accuracy = trainer.callback_metrics.get("val/acc")
        if trainer.sanity_checking or accuracy is None:
            return
        self.best = max(self.best, float(accuracy))
        writer = _writer(trainer)
        if writer is not None:
            writer.add_scalar(self.METRIC, self.best, trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Keep the best accuracy for a resumed run."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best accuracy of the interrupted run."""
        self.best = state_dict["best"]


class Pictures(Callback):
    """Show in TensorBoard what goes in, what the network is, and where it errs.

    At the start: the graph, a sheet of training digits, and another of their distorted forms if they are distorted. At
    the end of every ``every_n_epochs``-th epoch and of the last: the confusion matrix and the worst mistakes on the
    validation images.

    Args:
        every_n_epochs: at least 1.
    """

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs
        self._images: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._logits: list[Tensor] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the first training digits and the graph."""
        writer = _writer(trainer)
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        if writer is None or not isinstance(data_module, MNISTDataModule):
            return
        digits = data_module.train_dataloader().dataset
        images, labels = digits.images[:SHEET_SIZE], digits.labels[:SHEET_SIZE]  # type: ignore[attr-defined]
        captions = [CLASS_NAMES[label] for label in labels]
        title = f"training digits of {data_module.dataset}"
        _add_figure(writer, "input/digits", figures.digit_sheet(images, captions, title), trainer.global_step)
        if data_module.hparams["augment"]:
            sheet = _sheet_of_distortions(images[:COLUMNS], captions[:COLUMNS])
            _add_figure(writer, "input/augmented", sheet, trainer.global_step)

        training = pl_module.training
        pl_module.eval()  # no dropout, hence no random number drawn
        with warnings.catch_warnings(), torch.no_grad():
            # tracing an LSTM warns about the sizes it checks and about its own replacement; the drawing is right
            warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.filterwarnings("ignore", message=".*torch.jit.trace.* is deprecated", category=Warning)
            writer.add_graph(pl_module.model, normalise(images[:2]).to(pl_module.device))
        pl_module.train(training)

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
        if _writer(trainer) is not None and _is_due(trainer, self.every_n_epochs) and labels is not None:
            self._images.append(images)
            self._labels.append(labels)
            self._logits.append(outputs)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the confusion matrix and the worst mistakes."""
        writer = _writer(trainer)
        if writer is None or not self._logits:
            return
        images, labels = torch.cat(self._images), torch.cat(self._labels)
        probabilities = torch.cat(self._logits).float().softmax(dim=1)  # (N, 10)
        for kept in (self._images, self._labels, self._logits):
            kept.clear()
        predicted = probabilities.argmax(dim=1)
        classes = probabilities.shape[1]
        counts = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
        mistakes = torch.nonzero(predicted != labels).flatten()
        title = f"validation, epoch {trainer.current_epoch + 1}: {len(mistakes)} of {len(labels):,} wrong"
        _add_figure(writer, "val/confusion", figures.confusion_matrix(counts, title), trainer.global_step)

        worst = mistakes[probabilities[mistakes, labels[mistakes]].argsort()[:SHEET_SIZE]]
        captions = [
            f"{CLASS_NAMES[labels[i]]}, not {CLASS_NAMES[predicted[i]]}\n{probabilities[i, predicted[i]]:.0%}"
            for i in worst.tolist()
        ]
        sheet = figures.digit_sheet(images[worst], captions, f"worst mistakes of the {title}")
        _add_figure(writer, "val/worst_mistakes", sheet, trainer.global_step)


class Explanations(Callback):
    """Show in TensorBoard what the network does with a few validation digits, always the same ones.

    Args:
        every_n_epochs: at least 1.
    """

    DIGITS = 3

    def __init__(self, every_n_epochs: int) -> None:
        self.every_n_epochs = every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw belief by row, gates, and gradients, with the weights that are being validated."""
        writer = _writer(trainer)
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        if writer is None or not isinstance(data_module, MNISTDataModule) or not _is_due(trainer, self.every_n_epochs):
            return
        digits = data_module.val_dataloader().dataset
        images, labels = digits.images[: self.DIGITS].cpu(), digits.labels[: self.DIGITS]  # type: ignore[attr-defined]
        with torch.inference_mode(False), torch.enable_grad():
            network: RowLSTM = pl_module.model  # type: ignore[assignment]
            explained = [explain(network, image, int(label)) for image, label in zip(images, labels, strict=True)]
        epoch = f"epoch {trainer.current_epoch + 1}"
        captions = [f"a {CLASS_NAMES[explanation.label]}, {epoch}" for explanation in explained]
        sheet = explain_figures.belief_sheet(explained, captions)
        _add_figure(writer, "explain/belief", sheet, trainer.global_step)
        for index, (explanation, caption) in enumerate(zip(explained, captions, strict=True)):
            gates = explain_figures.gates_sheet(explanation, 2 if network.rnn.bidirectional else 1, caption)
            _add_figure(writer, f"explain/gates_{index}", gates, trainer.global_step)
            rows = explain_figures.rows_sheet(explanation, caption)
            _add_figure(writer, f"explain/rows_{index}", rows, trainer.global_step)


class BarProgress(RichProgressBar):
    """Lightning's bar with short names, one line left behind for each epoch."""

    NAMES: ClassVar = {"train/loss": "loss", "train/acc": "acc", "val/acc": "val"}
    EVERY_S = 0.2
    """Seconds between two drawings; Lightning's 0.01 takes a third of a core."""

    def __init__(self) -> None:
        theme = RichProgressBarTheme(metrics_format=".4f", metrics_text_delimiter=" ")
        super().__init__(refresh_rate=round(1 / self.EVERY_S), leave=True, theme=theme)
        self._next_update = 0.0

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Leave out the speed and shorten the bar, so that the figures fit into a line of a terminal."""
        columns = [c for c in super().configure_columns(trainer) if not isinstance(c, ProcessingSpeedColumn)]
        for column in columns:
            if isinstance(column, CustomBarColumn):
                column.bar_width = 16
        return columns

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Note how far it is, if that is going to be drawn: doing so takes longer than looking at the clock."""
        now = time.monotonic()
        if now >= self._next_update or batch_idx + 1 == self.total_train_batches:
            self._next_update = now + self.EVERY_S
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Show loss and accuracies; the version number is the run folder's, which is told at the end."""
        metrics = {**trainer.callback_metrics, **super().get_metrics(trainer, pl_module)}
        shown = {short: metrics[name] for name, short in self.NAMES.items() if name in metrics}
        return {short: float(value) for short, value in shown.items()}  # type: ignore[arg-type]


class PlainProgress(Callback):
    """Tell how a run goes, line by line, where a moving bar cannot be shown: in a file, a pipe, a job's log."""

    def __init__(self) -> None:
        self._epoch_start = self._last_line = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time: a run that is resumed within an epoch does not start that epoch again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time."""
        self._epoch_start = self._last_line = time.monotonic()
        self._first_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Print a line now and then in an epoch that takes long."""
        if time.monotonic() - self._last_line > PROGRESS_EVERY_S:
            self._last_line = time.monotonic()
            self._print_line(trainer, f"step {batch_idx + 1:,} of {trainer.num_training_batches:,}", ())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a line for the epoch."""
        seconds = f"{time.monotonic() - self._epoch_start:.1f} s"
        self._print_line(trainer, seconds, ("val/loss", "val/acc"))

    def _print_line(self, trainer: Trainer, what: str, names: tuple[str, ...]) -> None:
        if not trainer.is_global_zero:
            return
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and trainer.global_step // every > self._first_step // every:
            names = ("train/loss", "train/acc", *names)  # they are of this epoch
        metrics = {**trainer.callback_metrics, **trainer.progress_bar_metrics}
        shown = [
            f"{name} {metrics[name]:.2%}" if name.endswith("acc") else f"{name} {metrics[name]:.4f}"
            for name in names
            if name in metrics
        ]
        last = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        print(f"epoch {trainer.current_epoch + 1}{last}  {what}  {'  '.join(shown)}", flush=True)


class CSVPredictions(Callback):
    """Stream predictions as CSV lines: index, prediction, probability, label (empty where it is not known).

    Args:
        file: text stream, open for writing.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._index = 0
        print("index,prediction,probability,label", file=file)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the lines of one batch."""
        _, labels = batch
        best, digits = outputs.max(dim=1)
        known = labels.tolist() if labels is not None else [""] * len(digits)
        for digit, probability, label in zip(digits.tolist(), best.tolist(), known, strict=True):
            print(f"{self._index},{CLASS_NAMES[digit]},{probability:.6f},{label}", file=self._file)
            self._index += 1


def _is_due(trainer: Trainer, every_n_epochs: int) -> bool:
    """Tell whether this epoch's pictures are to be drawn."""
    epoch = trainer.current_epoch + 1
    return not trainer.sanity_checking and (epoch % every_n_epochs == 0 or epoch == trainer.max_epochs)


def _sheet_of_distortions(images: Tensor, captions: list[str]) -> Figure:
    """Draw a row of digits as they are, and under it what training may make of them."""
    with torch.random.fork_rng(devices=[]):  # the run draws the same distortions, whether there is a sheet or not
        forms = [images.cpu(), *(distort(images.cpu()) for _ in range(1, ROWS))]
    title = "training digits, and below them distorted at random"
    return figures.digit_sheet(torch.cat(forms), captions * ROWS, title, COLUMNS)


def _writer(trainer: Trainer) -> SummaryWriter | None:
    """Return what writes to TensorBoard, or None where nothing is to be written."""
    if trainer.is_global_zero:
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: SummaryWriter = logger.experiment
                return writer
    return None


def _add_figure(writer: SummaryWriter, tag: str, figure: Any, step: int) -> None:
    writer.add_image(tag, figures.to_pixels(figure), step, dataformats="HWC")
