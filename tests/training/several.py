"""Train, test and predict with one seed in one or several processes; a program, and a function for tests.

python tests/training/several.py FOLDER PROCESSES
"""

import json
import os
import shutil
import signal
import sys
import zlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mnist_lstm.training import processes, run
from mnist_lstm.training.callbacks import within_epochs
from mnist_lstm.training.callbacks.predictions import CSVPredictions
from mnist_lstm.training.checkpoint_io import DurableCheckpointIO
from mnist_lstm.training.data_module import MNISTDataModule
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.quiet import quiet_lightning
from mnist_lstm.training.signals import Signals

BATCH_SIZE = 97  # 12 batches of 1,257 images and one of 93: shares are uneven


class Record(Callback):
    """Keep what all processes have of each step, and send a signal to the last of them."""

    def __init__(self, folder: Path) -> None:
        self.losses: list[float] = []
        self.images: list[list[float]] = []  # of each step, the images' sums, in order of size
        self.shares: list[int] = []
        self.starts_anew = True
        self._folder = folder

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx: int) -> None:
        sums = batch[0].double().sum(dim=(1, 2)).tolist()
        parts = processes.gather((float(outputs["loss"]), sums))
        self.losses.append(sum(loss for loss, _ in parts) / len(parts))
        self.images.append(sorted(value for _, values in parts for value in values))
        self.shares.append(len(sums))
        if trainer.global_step == 5 and processes.rank() == processes.count() - 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        if trainer.global_step == 7 and processes.rank() == 0 and self.starts_anew:
            shutil.copy(self._folder / "checkpoints/last.ckpt", self._folder / "within.ckpt")


class Masks(Callback):
    """Keep what a process draws of dropout in each step, and the state of the generator that all share."""

    def __init__(self) -> None:
        self.masks: list[list[float]] = []
        self.shared: list[int] = []

    def on_train_start(self, trainer, pl_module) -> None:
        pl_module.model.register_forward_pre_hook(self._draw)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx: int) -> None:
        self.shared.append(zlib.crc32(torch.get_rng_state().numpy().tobytes()))

    def _draw(self, *args: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            self.masks.append(F.dropout(torch.ones(64), 0.5).tolist())


def trainer_of(count: int, folder: Path, **options: Any) -> Trainer:
    strategy = DDPStrategy() if count > 1 else "auto"
    own = {"accelerator": "cpu", "devices": count, "strategy": strategy, "use_distributed_sampler": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return Trainer(default_root_dir=folder, plugins=[DurableCheckpointIO()], **own, **quiet | options)


def train(count: int, folder: Path, checkpoint: Path | None = None) -> tuple[Record, dict[str, Any]]:
    """Train two epochs with augmentation; return what was recorded, and the metrics."""
    seed_everything(0, verbose=False)
    data, record, signals = MNISTDataModule("digits", batch_size=BATCH_SIZE, augment=True), Record(folder), Signals()
    record.starts_anew = checkpoint is None
    model = DigitClassifier(hidden_size=16, num_layers=2)
    callbacks = run.run_callbacks(folder, logs=False, signals=signals)
    with signals.handled(saves=True):
        trainer = trainer_of(count, folder, max_epochs=2, callbacks=[record, *callbacks], log_every_n_steps=4)
        run.fit(trainer, model, data, folder, checkpoint)
    return record, {name: float(value) for name, value in trainer.callback_metrics.items()}


def evaluate(count: int, folder: Path) -> dict[str, Any]:
    """Validate, test and predict with weights of a seed."""
    seed_everything(1, verbose=False)
    model, data = DigitClassifier(hidden_size=16), MNISTDataModule("digits")
    evaluator = trainer_of(count, folder, enable_checkpointing=False)
    results: dict[str, Any] = {}
    for metrics in (evaluator.validate(model, data, verbose=False), evaluator.test(model, data, verbose=False)):
        results |= metrics[0]
    results["confusion"] = model.test_confusion.compute().tolist()
    with (folder / f"predictions-{processes.rank()}.csv").open("w") as file:
        predictor = trainer_of(count, folder, enable_checkpointing=False, callbacks=[CSVPredictions(file)])
        predictor.predict(model, data, return_predictions=False)
    return results


def draw_masks(count: int, folder: Path) -> list[tuple[list[int], list[list[float]]]]:
    """Train three steps, several processes with dropout; return the `Masks` of each process."""
    seed_everything(2, verbose=False)
    masks = Masks()
    few = {"max_epochs": 1, "limit_train_batches": 3, "limit_val_batches": 0, "enable_checkpointing": False}
    trainer = trainer_of(count, folder, callbacks=[masks], **few)
    model = DigitClassifier(hidden_size=4, num_layers=2, dropout=0.5 if count > 1 else 0)
    trainer.fit(model, MNISTDataModule("digits", augment=True))
    return processes.gather((masks.shared, masks.masks))


def all_of(count: int, folder: Path) -> dict[str, Any]:
    """Do all, and return what is to be the same for any number of processes."""
    within_epochs.LOOK_EVERY_S = 0.0  # after each step
    folder.mkdir(exist_ok=True)
    record, metrics = train(count, folder)
    shares = processes.gather(record.shares)
    evaluated = evaluate(count, folder)
    masks = draw_masks(count, folder)
    return {
        "losses": record.losses,
        "images": record.images,
        "metrics": metrics,
        "shares": shares,
        "evaluated": evaluated,
        "masks": masks,
    }


def work(folder: Path) -> None:
    """Be one of the processes."""
    torch.set_num_threads(1)
    with quiet_lightning():
        results = all_of(int(os.environ["WORLD_SIZE"]), folder)
    if processes.rank() == 0:
        (folder / "results.json").write_text(json.dumps(results))
    processes.part_together()


if __name__ == "__main__":
    # torchrun without its command line, by which each process would import everything again: 6 s
    number = int(sys.argv[2])
    launch = LaunchConfig(1, 1, number, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
    elastic_launch(launch, work)(Path(sys.argv[1]))
