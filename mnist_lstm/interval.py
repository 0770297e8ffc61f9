"""What happened in training since the last log line, kept so that keeping it costs next to nothing."""

import time

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from mnist_lstm.errors import TrainingError


class Interval:
    """The steps since the last log line: their losses, what they answered, and how long they took.

    A step only appends references. Means and accuracy are computed for the whole interval at once, which is also the
    only time that the device has to be waited for.

    Args:
        every: steps from one log line to the next; 0 for none at all.
    """

    def __init__(self, every: int = 0) -> None:
        self.every = every
        self._steps: list[int] = []
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._seconds = 0.0
        self._since: float | None = None

    def add(self, step: int, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note one batch.

        Args:
            step: number of the step that it belongs to, counted from 1 over the whole run.
            loss: mean loss of the batch, a scalar.
            logits: ``(N, num_classes)``.
            labels: ``(N,)``.
        """
        self._steps.append(step)
        self._losses.append(loss.detach())
        self._logits.append(logits.detach())
        self._labels.append(labels)

    @property
    def step(self) -> int:
        """The step of the latest batch, 0 before the first."""
        return self._steps[-1] if self._steps else 0

    @property
    def is_due(self) -> bool:
        """Whether a log line follows the step of the latest batch."""
        return self.every > 0 and bool(self._steps) and self._steps[-1] % self.every == 0

    def start_clock(self) -> None:
        """Count the time from here on; called when training starts or goes on after a validation."""
        if self._since is None:
            self._since = time.perf_counter()

    def stop_clock(self) -> None:
        """Leave out the time from here on."""
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def check_finite(self, epoch: int) -> None:
        """Stop the run if a loss has become infinite or not a number.

        Args:
            epoch: the current epoch, counted from 0.

        Raises:
            TrainingError: says which step was the first, and what to try.
        """
        if not self._losses:
            return
        losses = torch.stack(self._losses)
        finite = torch.isfinite(losses)
        if bool(finite.all()):
            return
        first = int((~finite).nonzero()[0])
        raise TrainingError(
            f"the loss became {losses[first].item()} at step {self._steps[first]} (epoch {epoch + 1}); "
            "try a smaller --model.learning_rate, --trainer.gradient_clip_val 1.0, or --trainer.precision 32-true"
        )

    def flush(self) -> dict[str, float]:
        """Return mean loss, accuracy (0 to 1) and images a second of the interval, and start the next one.

        Call it while the clock runs.
        """
        logits, labels = torch.cat(self._logits), torch.cat(self._labels)
        figures = {
            "train/loss": torch.stack(self._losses).mean().item(),
            "train/acc": multiclass_accuracy(
                logits, labels, num_classes=logits.shape[1], average="micro", validate_args=False
            ).item(),
        }
        self.stop_clock()
        figures["train/images_per_second"] = len(labels) / self._seconds
        self.clear()
        self.start_clock()
        return figures

    def clear(self) -> None:
        """Forget what was noted, and stop the clock."""
        for kept in (self._steps, self._losses, self._logits, self._labels):
            kept.clear()
        self._seconds = 0.0
        self._since = None
