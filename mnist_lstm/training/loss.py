"""The loss of a batch, of several processes' shares of it, and of many batches."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mnist_lstm.data.format import NO_DIGIT
from mnist_lstm.training import processes


def mean_loss(
    logits: Tensor,
    labels: Tensor,
    no_digit_weight: float = 0.0,
    label_smoothing: float = 0.0,
    *,
    is_share: bool = False,
) -> Tensor:
    """Return the loss of a batch: ``(N, num_classes)`` and ``(N,)`` to a scalar.

    ``is_share``: if there are several processes, this is one's share of a batch, which may be empty. Then the mean over
    the processes, which is what their gradients are averaged to, is the loss of the batch.
    """
    if is_share and processes.count() > 1:
        is_digit = labels != NO_DIGIT
        numbers = processes.total(torch.stack([is_digit.sum(), (~is_digit).sum()]))
        counts = numbers.clamp(min=1) / processes.count()
        return loss_with_no_digits(logits, labels, no_digit_weight, label_smoothing, counts)
    if no_digit_weight:
        return loss_with_no_digits(logits, labels, no_digit_weight, label_smoothing)
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing, ignore_index=NO_DIGIT)


def loss_with_no_digits(
    logits: Tensor, labels: Tensor, weight: float, label_smoothing: float = 0.0, counts: Tensor | None = None
) -> Tensor:
    """Return the mean cross-entropy of the digits plus ``weight`` times the mean divergence of what is no digit.

    The divergence is that of the predicted distribution from the uniform one, 0 if all classes are as likely: outlier
    exposure (Hendrycks, Mazeika & Dietterich 2019, "Deep Anomaly Detection with Outlier Exposure").

    Args:
        logits: ``(N, num_classes)``.
        labels: ``(N,)``, `NO_DIGIT` for what is none.
        weight: at least 0.
        label_smoothing: of the digits.
        counts: by what to divide the sums over digits, and over the others; default: their numbers.
    """
    is_digit = labels != NO_DIGIT
    if counts is None:
        counts = torch.stack([is_digit.sum(), (~is_digit).sum()]).clamp(min=1)
    digits = (
        F.cross_entropy(logits, labels, ignore_index=NO_DIGIT, label_smoothing=label_smoothing, reduction="sum")
        / counts[0]
    )
    divergence = -logits.log_softmax(dim=1).mean(dim=1) - math.log(logits.shape[1])  # (N,)
    return digits + weight * (divergence * ~is_digit).sum() / counts[1]


class MeanLoss(Metric):
    """Mean over images of batches' mean losses, equal to the last bit for any number of processes and any order.

    The sum is rounded once, at its end.
    """

    higher_is_better = False
    full_state_update = False
    batches: list[Tensor]  # mean loss and number of images of each

    def __init__(self) -> None:
        super().__init__()
        self.add_state("batches", [], dist_reduce_fx="cat")

    def update(self, loss: Tensor, images: int) -> None:
        """Add a batch: its mean loss, and its number of images."""
        self.batches.append(torch.stack([loss.detach().float(), loss.new_tensor(images, dtype=torch.float)]).view(1, 2))

    def compute(self) -> Tensor:
        """Return the mean."""
        batches = dim_zero_cat(self.batches).tolist()
        # float32 times a number of images has no more digits than a float64
        return torch.tensor(math.fsum(loss * images for loss, images in batches) / sum(n for _, n in batches))
