"""What the steps since the last log line did, at next to no cost per step."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from mnist_lstm.data.format import NO_DIGIT
from mnist_lstm.training import processes


def logs_at(trainer: Trainer, step: int) -> bool:
    """Return whether a trainer logs after a step."""
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return every > 0 and step % every == 0


class IntervalMetrics:
    """Running sums of loss and correct predictions since the last log line.

    The sums stay on the device, which is only waited for when they are read, and those of several processes in each of
    them until then. `torchmetrics` updated at every step would
    cost more than the step of a small network.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new interval."""
        self.batches = 0
        self._loss: Tensor | float = 0.0
        self._correct: Tensor | int = 0
        self._digits: Tensor | int = 0
        self.grad_norm: Tensor | None = None  # of the last step, before clipping

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums of all processes, for a run that is resumed before the next log line."""
        sums = (torch.tensor(self.batches), *self._totals())
        names = ("batches", "loss", "correct", "digits")
        return {name: value.cpu() for name, value in zip(names, sums, strict=True)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue with the sums of `state_dict`."""
        self.batches = int(state["batches"])
        self._loss = state["loss"]  # the mean over the processes
        self._correct, self._digits = (state[name] if processes.rank() == 0 else 0 for name in ("correct", "digits"))

    def _totals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums over all processes of loss, correct predictions and digits."""
        loss, correct, digits = (torch.as_tensor(value) for value in (self._loss, self._correct, self._digits))
        if processes.count() == 1:
            return loss, correct, digits
        sums = processes.total(torch.stack([value.double() for value in (loss, correct, digits)]))
        return sums[0] / processes.count(), sums[1].long(), sums[2].long()

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits ``(N, num_classes)`` and labels ``(N,)``."""
        self.batches += 1
        self._loss = self._loss + loss.detach()
        self._correct = self._correct + (logits.detach().argmax(dim=1) == labels).sum()
        self._digits = self._digits + (labels != NO_DIGIT).sum()

    def compute(self) -> dict[str, float]:
        """Return mean loss per batch and accuracy on digits, 0 to 1, of the interval, which must have a batch.

        And the norm of the gradient, if there is one. All are read at once: a GPU is waited for at each reading.
        """
        tensors = [*self._totals(), *([] if self.grad_norm is None else [self.grad_norm])]
        loss, correct, digits, *norm = torch.stack([value.float() for value in tensors]).tolist()
        digits = max(1, digits)  # a small batch may be all letters and scribbles
        values = {"train/loss": loss / self.batches, "train/acc": correct / digits}
        return values | ({"train/grad_norm": norm[0]} if norm else {})
