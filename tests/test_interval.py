"""What is kept between two log lines."""

import pytest
import torch

from mnist_lstm.errors import TrainingError
from mnist_lstm.interval import Interval


def logits(*digits: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(digits), 10).float()


def test_figures_are_those_of_the_whole_interval() -> None:
    interval = Interval()
    interval.start_clock()
    interval.add(1, torch.tensor(1.0), logits(1, 2, 3), torch.tensor([1, 2, 4]))
    interval.add(1, torch.tensor(2.0), logits(5), torch.tensor([5]))
    figures = interval.flush()
    assert figures["train/loss"] == 1.5
    assert figures["train/acc"] == 0.75
    assert figures["train/images_per_second"] > 0
    interval.add(1, torch.tensor(4.0), logits(5), torch.tensor([6]))
    assert interval.flush()["train/loss"] == 4.0


def test_time_outside_training_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 2.0, 100.0, 102.0, 102.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    interval = Interval()
    interval.start_clock()
    interval.add(1, torch.tensor(1.0), logits(1, 2), torch.tensor([1, 2]))
    interval.stop_clock()
    interval.start_clock()
    interval.add(1, torch.tensor(1.0), logits(1, 2), torch.tensor([1, 2]))
    assert interval.flush()["train/images_per_second"] == 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_loss_is_named(bad: float) -> None:
    interval = Interval()
    for step, loss in enumerate((1.0, bad, float("nan")), start=98):
        interval.add(step, torch.tensor(loss), logits(1), torch.tensor([1]))
    with pytest.raises(TrainingError, match=f"became {bad} at step 99 .epoch 3.*learning_rate"):
        interval.check_finite(epoch=2)


def test_good_losses_pass() -> None:
    interval = Interval()
    interval.check_finite(0)
    interval.add(1, torch.tensor(1.0), logits(1), torch.tensor([1]))
    interval.check_finite(0)
