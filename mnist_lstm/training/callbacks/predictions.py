"""Write predictions as they come."""

from itertools import chain
from typing import IO, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.training import processes
from mnist_lstm.training.data_module import Batch

Row = tuple[int, float, int | str]
"""Prediction, probability, label."""


class CSVPredictions(Callback):
    """Write CSV lines to a text file: index, prediction, probability, label (empty where it is unknown).

    Several processes predict batches in turn (`EveryNthBatch`); the first one writes the lines of all, in order.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._index = 0
        self._remaining = 0  # batches of the process that has most

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the header."""
        (self._remaining,) = processes.maximum([int(sum(trainer.num_predict_batches))])
        if processes.rank() == 0:
            print("index,prediction,probability,label", file=self._file)

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
        probabilities, digits = outputs.max(dim=1)  # (N,)
        shown = [""] * len(digits) if labels is None else labels.tolist()
        self._write(list(zip(digits.tolist(), probabilities.tolist(), shown, strict=True)))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the others write their last batch, if this process has one less than they."""
        if self._remaining:
            self._write([])

    def _write(self, rows: list[Row]) -> None:
        """Write a batch of each process."""
        self._remaining -= 1
        for digit, probability, label in chain.from_iterable(processes.gather(rows)):
            if processes.rank() == 0:
                print(f"{self._index},{CLASS_NAMES[digit]},{probability:.6f},{label}", file=self._file)
            self._index += 1
