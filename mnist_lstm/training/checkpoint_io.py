"""Write checkpoints so that whatever happens, a whole one is there."""

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from mnist_lstm.errors import TrainingError
from mnist_lstm.files import write
from mnist_lstm.network.seal import open_whole, seal


class DurableCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, safe from kills, full disks, flipped bits and NaN.

    Lightning's own writes to the system's folder for temporary files and moves the file from there; where that is on
    another file system, the move is a copy over the checkpoint of before, and who is killed meanwhile has neither.

    Trainer(plugins=[DurableCheckpointIO()])
    """

    def __init__(self) -> None:
        self._written: set[Path] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write or replace a checkpoint with its digest; the file before ``last.ckpt`` is kept as ``previous.ckpt``.

        Raises:
            TrainingError: a weight is not finite.
            WriteError: the file cannot be written. In both cases, the files of before stay.
        """
        if storage_options is not None:
            raise TypeError(f"{type(self).__name__} has no storage_options")
        path = Path(path)
        # an average over the steps has the weights themselves beside it
        for part in ("state_dict", "current_model_state"):
            for name, weight in checkpoint.get(part, {}).items():
                if isinstance(weight, Tensor) and not bool(torch.isfinite(weight).all()):
                    raise TrainingError(
                        f"{path}: not written, because {name} has become infinite or NaN; the checkpoint of before, if "
                        "any, stays; resume from it with a smaller --model.learning_rate or --trainer.precision 32-true"
                    )
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with contextlib.suppress(OSError):  # if it fails, so does writing, with a better message
            path.parent.mkdir(parents=True, exist_ok=True)
        seal(buffer)
        write(path, buffer.getbuffer(), path.with_name("previous.ckpt") if path.name == "last.ckpt" else None)
        self._written.add(path.absolute())

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file that this process has written, and no other: a stranger's checkpoint may name any path."""
        if Path(path).absolute() in self._written:
            Path(path).unlink(missing_ok=True)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, _: storage, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint that is as it was written.

        Raises:
            InputError: it is missing or damaged.
        """
        with open_whole(Path(path)) as (file, _):
            content: dict[str, Any] = torch.load(file, map_location=map_location, weights_only=weights_only)
        return content
