"""The loss of batches in which some images are no digit."""

import math

import torch.nn.functional as F
from torch import Tensor

from mnist_lstm.data.format import NO_DIGIT


def loss_with_no_digits(logits: Tensor, labels: Tensor, weight: float, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of the digits plus ``weight`` times the mean divergence of what is no digit.

    The divergence is that of the predicted distribution from the uniform one, 0 if all classes are as likely: outlier
    exposure (Hendrycks, Mazeika & Dietterich 2019, "Deep Anomaly Detection with Outlier Exposure").

    Args:
        logits: ``(N, num_classes)``.
        labels: ``(N,)``, `NO_DIGIT` for what is none.
        weight: at least 0.
        label_smoothing: of the digits.
    """
    is_digit = labels != NO_DIGIT
    digits = F.cross_entropy(
        logits, labels, ignore_index=NO_DIGIT, label_smoothing=label_smoothing, reduction="sum"
    ) / is_digit.sum().clamp(min=1)
    divergence = -logits.log_softmax(dim=1).mean(dim=1) - math.log(logits.shape[1])  # (N,)
    return digits + weight * (divergence * ~is_digit).sum() / (~is_digit).sum().clamp(min=1)
