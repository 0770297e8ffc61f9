"""Fit, test the best checkpoint once, and summarise; also usable without the command line.

folder = new_run(Path("runs"), "digits")
data = MNISTDataModule("digits")
logger, plugins = RunLogger(folder.parent, "", folder.name), [DurableCheckpointIO()]
trainer = Trainer(max_epochs=5, callbacks=run_callbacks(folder), logger=logger, plugins=plugins)
result = fit(trainer, DigitClassifier(), data, folder)
print(test_checkpoint(trainer, data, result.checkpoint, "auto"))
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor

from mnist_lstm.errors import InputError
from mnist_lstm.training import processes, report
from mnist_lstm.training.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from mnist_lstm.training.callbacks.monitor import TrainingMonitor
from mnist_lstm.training.callbacks.progress import progress_callbacks
from mnist_lstm.training.callbacks.tensorboard import Explanations, HyperParameters, Pictures, writer_of
from mnist_lstm.training.callbacks.within_epochs import WithinEpochs
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.history import write_origin
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.overhead import reduce_overhead
from mnist_lstm.training.signals import Signals
from mnist_lstm.training.threads import lacks_bfloat16, training_threads


@dataclass(frozen=True)
class Result:
    """What a fit has left."""

    seconds: float  # of training and validation
    steps: int  # of this fit, without those of a run that it resumed
    epochs: int  # of the whole training
    checkpoint: Path | None  # the best, or the last of a run without validation; None if none was kept
    val_acc: float | None  # accuracy, 0 to 1, of the best checkpoint; None without validation
    curves: Path | None  # PNG file; None if nothing was logged to TensorBoard


def run_callbacks(
    folder: Path,
    *,
    logs: bool = True,
    checkpoints: bool = True,
    validates: bool = True,
    pictures_every_n_epochs: int = 5,
    explain_every_n_epochs: int = 0,
    checkpoint_every_n_steps: int = 0,
    checkpoint_every_n_minutes: float = 0.0,
    resumed_from: Path | None = None,
    signals: Signals | None = None,
    options: dict[str, Any] | None = None,
) -> list[Callback]:
    """Return the callbacks of a run in ``folder``, in any order with those of the user.

    Pictures or explanations every 0 epochs are none. Checkpoints are saved after each epoch, and within epochs as asked
    for: by steps, minutes (0: not by these), and ``signals`` that are being handled. ``options`` go to TensorBoard's
    HPARAMS tab, beside those of module and data module.
    """
    callbacks: list[Callback] = []
    if logs:
        callbacks += [LearningRateMonitor("step"), HyperParameters(options)]
        callbacks += [Pictures(pictures_every_n_epochs)] if pictures_every_n_epochs else []
        callbacks += [Explanations(explain_every_n_epochs)] if explain_every_n_epochs else []
    if checkpoints:
        # the best is saved first: the last must know the best score, which a resumed run continues from
        callbacks += [BestCheckpoint(folder / "checkpoints", resumed_from)] if validates else []
        callbacks += [LastCheckpoint(folder / "checkpoints")]
    last = next((callback for callback in callbacks if isinstance(callback, LastCheckpoint)), None)
    return [*callbacks, WithinEpochs(last, checkpoint_every_n_steps, checkpoint_every_n_minutes, signals)]


def fit(
    trainer: Trainer,
    model: DigitClassifier,
    data: MNISTDataModule,
    folder: Path | None = None,
    ckpt_path: Path | None = None,
    steps_before: int = 0,
) -> Result:
    """Train, and draw the curves into ``folder``, if any.

    A resumed run starts from ``ckpt_path``, which has been trained for ``steps_before`` steps.

    A damaged state in it is an `InputError`, a loss that becomes infinite or NaN a `TrainingError`.
    """
    reduce_overhead(trainer, model)
    if folder is not None and ckpt_path is not None and trainer.is_global_zero:
        write_origin(folder, ckpt_path, steps_before)
    start = time.perf_counter()
    try:
        with _cpu_threads(trainer, model, data):
            trainer.fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    except BaseException as error:
        if not processes.is_lost_contact(error):  # then the other processes' end is waited for
            with contextlib.suppress(Exception):  # the disk may be what has failed
                _draw_curves(trainer, folder)
        has_started = any(isinstance(c, TrainingMonitor) and c.has_started for c in trainer.callbacks)  # type: ignore[attr-defined]
        may_be_damaged = isinstance(error, LookupError | TypeError | ValueError | AttributeError)
        if ckpt_path is None or has_started or not may_be_damaged or isinstance(error, InputError):
            raise
        raise InputError(f"{ckpt_path}: the state of its run is damaged ({error!r})") from error
    curves = _draw_curves(trainer, folder)
    ours = (c for c in trainer.checkpoint_callbacks if isinstance(c, BestCheckpoint | LastCheckpoint))
    kept = next((c for c in ours if c.best_model_path), None)
    score = kept.best_model_score if kept else None
    return Result(
        seconds=time.perf_counter() - start,
        steps=trainer.global_step - steps_before,
        epochs=trainer.current_epoch,
        checkpoint=Path(os.path.relpath(kept.best_model_path)) if kept else None,
        val_acc=None if score is None else float(score),
        curves=Path(os.path.relpath(curves)) if curves else None,
    )


def test_checkpoint(trainer: Trainer, data: MNISTDataModule, checkpoint: Path, accelerator: Any) -> float:
    """Return a checkpoint's accuracy on the test set, 0 to 1, and write the result to the logger of ``trainer``.

    A fresh trainer tests, in float32: ``trainer`` would test the raw weights where the file holds averaged ones.
    """
    callbacks, enabled = progress_callbacks(trainer.progress_bar_callback is not None, "test")
    fresh = Trainer(
        accelerator=accelerator,
        devices=1,
        logger=False,
        callbacks=callbacks,
        plugins=[LightningEnvironment()],  # the other processes of this run, if any, have ended
        enable_progress_bar=enabled,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    model = DigitClassifier.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True)
    (metrics,) = fresh.test(model, datamodule=data, verbose=False)
    writer = writer_of(trainer)
    if writer is not None:
        report.write_test(writer, metrics, model.test_confusion.compute(), trainer.global_step)
    return float(metrics["test/acc"])


def _draw_curves(trainer: Trainer, folder: Path | None) -> Path | None:
    if folder is None or not trainer.is_global_zero:
        return None
    return report.draw_curves(folder, f"{folder.parent.name}, {folder.name}")


@contextlib.contextmanager
def _cpu_threads(trainer: Trainer, model: DigitClassifier, data: MNISTDataModule) -> Iterator[None]:
    """Use as many threads as pay on a CPU, and warn if the precision does not."""
    if trainer.strategy.root_device.type != "cpu":
        yield
        return
    if str(trainer.precision).startswith("bf16") and lacks_bfloat16() and trainer.is_global_zero:
        print(
            f"mnist-lstm: warning: --trainer.precision {trainer.precision} is slower than 32-true here: this CPU has "
            "neither AMX nor AVX512-BF16; take --config configs/cpu.yaml",
            file=sys.stderr,
        )
    before = torch.get_num_threads()
    rnn = model.model.rnn
    share = -(-data.hparams["batch_size"] // trainer.world_size)
    threads = training_threads(share, rnn.input_size, rnn.hidden_size)
    on_this_host = min(trainer.num_devices, trainer.world_size)
    torch.set_num_threads(min(threads, max(1, before // on_this_host)) if on_this_host > 1 else threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
