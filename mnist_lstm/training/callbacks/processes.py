"""What several processes draw at random."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mnist_lstm.training import processes
from mnist_lstm.training.data_module import Batch


class SharedRandomness(Callback):
    """Let several processes shuffle and distort as one would, and drop out units independently of each other.

    Their global generators are in the same state, that of one process. For each step, each has another seed for its
    dropout, which depends on the run's seed, the step, and its rank.
    """

    def __init__(self) -> None:
        self._at_start = torch.get_rng_state()
        self._seed = torch.initial_seed()
        self._shared: Tensor | None = None  # state, while a step is computed

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Undo that Lightning has seeded the generator again when the processes met."""
        if processes.count() > 1:
            torch.set_rng_state(self._at_start)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Seed dropout; the batch has been distorted."""
        if processes.count() > 1 and pl_module.hparams.get("dropout"):
            self._shared = _device(pl_module).get_rng_state()
            batches = trainer.fit_loop.total_batch_idx + 1
            torch.manual_seed(self._seed + 1 + batches * processes.count() + processes.rank())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Restore the generator."""
        if self._shared is not None:
            _device(pl_module).set_rng_state(self._shared)
            self._shared = None


def _device(module: LightningModule) -> Any:
    return torch if module.device.type == "cpu" else torch.get_device_module(module.device)
