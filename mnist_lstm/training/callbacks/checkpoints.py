"""Keep the best and the last checkpoint of a run, and what an exact resume needs."""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import LambdaLR

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, WriteError
from mnist_lstm.files import write
from mnist_lstm.network.seal import open_whole
from mnist_lstm.training import processes


class RunCheckpoint(ModelCheckpoint):
    """A checkpoint in a run's folder."""

    saved_step = 0  # of the file

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Save, after all log lines: none gets lost for a run that is resumed from here."""
        run = Path(filepath).parent.parent
        if trainer.is_global_zero and not run.is_dir():
            raise WriteError(f"{run}: the run's folder has been removed while the run was going on")
        for logger in trainer.loggers:
            logger.save()
        super()._save_checkpoint(trainer, filepath)
        self.saved_step = trainer.global_step


class BestCheckpoint(RunCheckpoint):
    """Keep ``best.ckpt``, the epoch with the highest validation accuracy, of those that are validated.

    A run resumed from a checkpoint writes to a folder of its own. It copies the best checkpoint so far, so that its
    best is the best of the whole training.
    """

    def __init__(self, folder: Path, resumed_from: Path | None = None) -> None:
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor="val/acc",
            mode="max",
            enable_version_counter=False,
            save_on_train_epoch_end=True,  # only between two epochs can a run be resumed exactly
        )
        self._resumed_from = resumed_from

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch with validation."""
        if is_validated(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy the best checkpoint of the interrupted run, and take over its score."""
        if self._resumed_from is None or self.dirpath is None:
            super().load_state_dict(state_dict)  # Lightning's finders restore the trainer they have tried things with
            return
        # best.ckpt and last.ckpt of a run lie side by side, wherever the run has been moved since
        old, new = self._resumed_from.with_name("best.ckpt"), Path(self.dirpath, "best.ckpt")
        score = state_dict["best_model_score"]
        if score is None or not old.is_file():
            return
        try:
            with open_whole(old) as (file, _):
                content = file.read()
        except InputError as error:
            print(f"mnist-lstm: warning: the best checkpoint so far is lost: {printable(str(error))}", file=sys.stderr)
            return
        if processes.rank() == 0:
            new.parent.mkdir(parents=True, exist_ok=True)
            write(new, content)
        self.best_model_path = self.kth_best_model_path = str(new)
        self.best_model_score = self.kth_value = score
        self.current_score = state_dict["current_score"]
        self.best_k_models = {str(new): score}


class LastCheckpoint(RunCheckpoint):
    """Keep ``last.ckpt``, the latest state; Lightning's ``save_last`` waits for a new best.

    It is saved after each epoch, with ``check_val_every_n_epoch`` after each of these and the last, and whenever
    `save` is called.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(dirpath=folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
        self.saves_epoch = False  # this epoch is saved in any case

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch that is due."""
        ends = trainer.current_epoch + 1 == trainer.max_epochs or trainer.global_step == trainer.max_steps
        if ends or trainer.should_stop or is_validated(trainer) or self.saves_epoch:
            super().on_train_epoch_end(trainer, pl_module)
        self.saves_epoch = False

    def save(self, trainer: Trainer) -> None:
        """Save between two steps of an epoch."""
        self._save_none_monitor_checkpoint(trainer, self._monitor_candidates(trainer))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep nothing of the interrupted run."""


def is_validated(trainer: Trainer) -> bool:
    """Return whether the present epoch is one of those that are validated, if there is validation."""
    return (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0


class ExactResume(Callback):
    """Resume a run as if it had not been interrupted, and by the options that are given now.

    Checkpoints get the state of the random generators, which dropout and augmentation draw from, the sums since the
    last log line, and the last value of each metric. The options of the optimizer and of the schedule are those of the
    module, not those that Lightning has restored from the checkpoint.
    """

    def __init__(self) -> None:
        self._rng_state: dict[str, torch.Tensor] = {}
        self._interval: dict[str, torch.Tensor] = {}
        self._metrics: dict[str, torch.Tensor] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the state of the random generators, the sums and the metrics."""
        checkpoint["metrics"] = {name: value.cpu() for name, value in trainer.callback_metrics.items()}
        checkpoint["interval"] = pl_module.interval.state_dict()  # type: ignore[union-attr]
        checkpoint["rng_state"] = {"cpu": torch.get_rng_state()}
        if pl_module.device.type != "cpu":
            device = torch.get_device_module(pl_module.device)
            checkpoint["rng_state"][pl_module.device.type] = device.get_rng_state()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state until training starts."""
        self._rng_state = checkpoint.get("rng_state", {})
        self._interval, self._metrics = checkpoint.get("interval", {}), checkpoint.get("metrics", {})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Apply the options given now, then restore metrics, sums and generators."""
        trainer.callback_metrics.update(self._metrics)
        if self._interval:
            pl_module.interval.load_state_dict(self._interval)  # type: ignore[union-attr]
        scheduler = trainer.lr_scheduler_configs[0].scheduler
        if isinstance(scheduler, LambdaLR):  # not while LearningRateFinder tries out its own
            (optimizer,) = trainer.optimizers
            learning_rate = pl_module.hparams["learning_rate"]
            scheduler.base_lrs = [learning_rate]
            (group,) = optimizer.param_groups
            factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
            group |= optimizer.defaults | {"initial_lr": learning_rate, "lr": learning_rate * factor}
        for device, state in self._rng_state.items():
            if device == "cpu":
                torch.set_rng_state(state.cpu())
            elif device == pl_module.device.type:
                torch.get_device_module(pl_module.device).set_rng_state(state.cpu())
        self._rng_state, self._interval, self._metrics = {}, {}, {}
