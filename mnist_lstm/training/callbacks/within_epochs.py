"""Save within an epoch, and end when a signal asks for it."""

import contextlib
import signal
import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, Stopped
from mnist_lstm.training import processes, slurm
from mnist_lstm.training.callbacks.checkpoints import LastCheckpoint
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.signals import REQUEUING, Signals

LOOK_EVERY_S = 1.0
"""Seconds between two looks of several processes at what they have been asked for: they wait for each other."""


class WithinEpochs(Callback):
    """Save ``last.ckpt`` every N steps, every T minutes and when a signal asks for it; end when one asks for that.

    This happens between two steps (`MNISTDataModule.between_steps`): Lightning's own place for it, after a batch, comes
    before the step is logged. Runs with other data modules are left to Lightning.

    Several processes do it after the same step, whichever has received the signal. They agree on it every second or so.

    Args:
        last: saves; None: nothing is saved.
        every_n_steps: steps of the optimizer; 0: not by steps.
        every_n_minutes: minutes since the last time it was saved here; 0: not by time.
        signals: asked for what has been received; None: none.
    """

    def __init__(
        self,
        last: LastCheckpoint | None,
        every_n_steps: int = 0,
        every_n_minutes: float = 0.0,
        signals: Signals | None = None,
    ) -> None:
        self._last = last
        self._every_n_steps = every_n_steps
        self._every_s = every_n_minutes * 60
        self._signals = signals or Signals()
        self._handling = contextlib.ExitStack()
        self._listens = signals is not None
        self._saved_at = 0.0
        self._saved_step = -1
        self._ending = self._saving = 0  # numbers of the signals that all processes have agreed on
        self._looked_at, self._looked_step, self._next_look = 0.0, 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to look at the clock and at signals."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, MNISTDataModule):
            if self._every_n_steps or self._every_s:
                raise InputError("--checkpoint_every_n_steps, --checkpoint_every_n_minutes: are for MNISTDataModule")
            return
        self._saved_at = self._looked_at = time.monotonic()
        self._looked_step = self._next_look = trainer.global_step
        data.between_steps = lambda: self._between_steps(trainer)
        if self._listens:
            self._handling.enter_context(self._signals.waiting())

    def _between_steps(self, trainer: Trainer) -> None:
        # one too many if a run is resumed right after validation within an epoch
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
        done = trainer.fit_loop.batch_idx + 1  # batches of this epoch
        if done == 0 or done % trainer.accumulate_grad_batches:
            return  # the epoch before has been saved at its end, or gradients are being summed up
        step = trainer.global_step
        by_steps = self._every_n_steps and step % self._every_n_steps == 0
        by_time = False
        if step >= self._next_look:
            by_time = self._look(step, bool(self._every_s) and time.monotonic() - self._saved_at >= self._every_s)
        asked = self._ending or self._saving
        if self._last is not None and (by_steps or by_time or asked) and step != self._saved_step:
            progress = trainer.fit_loop.epoch_loop.batch_progress
            of_coming_batch, progress.is_last_batch = progress.is_last_batch, False
            self._last.save(trainer)
            progress.is_last_batch = of_coming_batch
            self._saved_at, self._saved_step = time.monotonic(), step
        self._answer(trainer)

    def _look(self, step: int, is_due: bool = False) -> bool:
        """Let all processes agree on signals, and return whether one of them finds that saving is due."""
        asked = self._signals.ending or 0, self._signals.saving or self._saving
        self._signals.saving = None
        now = time.monotonic()
        per_look = (step - self._looked_step) / max(now - self._looked_at, 1e-3) * LOOK_EVERY_S
        several = processes.count() > 1
        ending, saving, due, ahead = processes.maximum([*asked, is_due, max(1, int(per_look)) if several else 0])
        self._looked_at, self._looked_step, self._next_look = now, step, step + ahead
        self._ending, self._saving = ending, saving
        if ending:
            self._signals.adopt(ending)
        return bool(due)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Have this epoch saved, if a signal has asked for it."""
        self._look(trainer.global_step)
        if self._last is not None:
            self._last.saves_epoch = bool(self._ending or self._saving)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do what was asked for during validation: the epoch before has been saved."""
        if trainer.current_epoch:
            self._answer(trainer)

    def _answer(self, trainer: Trainer) -> None:
        saving, self._saving = self._saving, 0
        where = f"step {trainer.global_step:,}, epoch {trainer.current_epoch + 1}"
        if saving and trainer.is_global_zero:
            what = "no checkpoint: they are switched off" if self._last is None else f"saved at {where}"
            job = slurm.job()
            if self._last is not None and job is not None and saving == getattr(signal, REQUEUING):
                failure = slurm.requeue(job)
                what += f"; job {job} could not be requeued: {failure}" if failure else f"; job {job} requeued"
            print(f"mnist-lstm: {signal.Signals(saving).name}: {printable(what)}", file=sys.stderr, flush=True)
        # SLURM ends a job that has been requeued: several processes agree on that at their next look
        ending = self._ending or (processes.count() == 1 and self._signals.ending)
        if ending:
            raise Stopped(ending)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop looking; do what the last validation was asked for, and end before the test, if asked to."""
        self._look(trainer.global_step)
        self._release(trainer)
        if self._listens:
            self._answer(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop looking."""
        self._release(trainer)

    def _release(self, trainer: Trainer) -> None:
        self._handling.close()
        if isinstance(trainer.datamodule, MNISTDataModule):  # type: ignore[attr-defined]
            trainer.datamodule.between_steps = lambda: None  # type: ignore[attr-defined]
