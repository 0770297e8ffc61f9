"""The loss of what is no digit: least if all classes are as likely, and apart from that of the digits."""

import math

import pytest
import torch
import torch.nn.functional as F

from mnist_lstm.data.format import NO_DIGIT
from mnist_lstm.training.loss import loss_with_no_digits

LOGITS = torch.randn(6, 10, generator=torch.Generator().manual_seed(0)) * 3
LABELS = torch.tensor([3, NO_DIGIT, 7, 0, NO_DIGIT, 9])


def test_digits_have_their_mean_cross_entropy() -> None:
    is_digit = LABELS != NO_DIGIT
    expected = F.cross_entropy(LOGITS[is_digit], LABELS[is_digit], label_smoothing=0.1)
    torch.testing.assert_close(loss_with_no_digits(LOGITS, LABELS, 0.0, 0.1), expected)


def test_weight_counts_the_mean_divergence_from_a_uniform_answer() -> None:
    less, more = (loss_with_no_digits(LOGITS, LABELS, weight) for weight in (0.0, 0.5))
    uniform = torch.full((2, 10), 0.1)
    rows = LOGITS[LABELS == NO_DIGIT].log_softmax(dim=1)
    expected = F.kl_div(rows, uniform, reduction="batchmean")
    assert expected > 0.1
    torch.testing.assert_close(more - less, 0.5 * expected)


def test_a_uniform_answer_to_no_digit_costs_nothing() -> None:
    logits = torch.full((4, 10), 2.5)
    assert float(loss_with_no_digits(logits, torch.full((4,), NO_DIGIT), 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(loss_with_no_digits(logits, torch.zeros(4, dtype=torch.long), 1.0)) == pytest.approx(math.log(10))


def test_training_on_it_makes_an_image_doubtful() -> None:
    logits = LOGITS.clone().requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=5)
    for _ in range(200):
        optimizer.zero_grad()
        loss_with_no_digits(logits, LABELS, 0.5).backward()
        optimizer.step()
    top = logits.softmax(dim=1).max(dim=1)
    assert (top.values[LABELS == NO_DIGIT] < 0.15).all()
    assert torch.equal(top.indices[LABELS != NO_DIGIT], LABELS[LABELS != NO_DIGIT])
