"""Replay the network's passes on a CUDA GPU as graphs: two launches per step instead of hundreds."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from mnist_lstm.data.format import SIZE
from mnist_lstm.training.data_module import MNISTDataModule


class CUDAGraphs(Callback):
    """Capture forward and backward pass of the network for full training batches, and replay them.

    A GPU computes a step of a network this small faster than Python launches its kernels one by one. Results are the
    same. The last batch of an epoch, if it is smaller, and validation run as they do without this callback. So does
    everything on other devices, and with ``accumulate_grad_batches``: replaying overwrites the gradients of the batch
    before.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Capture; the random numbers of training stay those of a run without graphs."""
        data_module = trainer.datamodule  # type: ignore[attr-defined]
        if pl_module.device.type != "cuda" or trainer.accumulate_grad_batches != 1:
            return
        if not isinstance(data_module, MNISTDataModule):
            return
        size: int = data_module.hparams["batch_size"]
        network: Any = pl_module.model
        eager = network.forward
        sample = torch.zeros(size, SIZE, SIZE, device=pl_module.device)
        with torch.random.fork_rng([pl_module.device]), trainer.precision_plugin.train_step_context():
            torch.cuda.make_graphed_callables(network, (sample,))  # replaces network.forward
        replay = network.forward  # in training; eager in evaluation

        def forward(images: Tensor) -> Tensor:
            logits: Tensor = replay(images) if len(images) == size else eager(images)
            return logits

        network.forward = forward

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the network its own forward pass back."""
        vars(pl_module.model).pop("forward", None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the network its own forward pass back."""
        self.on_train_end(trainer, pl_module)
