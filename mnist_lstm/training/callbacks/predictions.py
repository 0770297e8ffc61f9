"""Write predictions as they come."""

from typing import IO, Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mnist_lstm.data.format import CLASS_NAMES
from mnist_lstm.training.data_module import Batch


class CSVPredictions(Callback):
    """Write CSV lines to a text file: index, prediction, probability, label (empty where it is unknown)."""

    def __init__(self, file: IO[str]) -> None:
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
        probabilities, digits = outputs.max(dim=1)  # (N,)
        shown = [""] * len(digits) if labels is None else labels.tolist()
        for digit, probability, label in zip(digits.tolist(), probabilities.tolist(), shown, strict=True):
            print(f"{self._index},{CLASS_NAMES[digit]},{probability:.6f},{label}", file=self._file)
            self._index += 1
