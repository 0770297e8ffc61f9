"""Metrics of a log interval, throughput, and the check for non-finite losses."""

from types import SimpleNamespace

import pytest
import torch

from mnist_lstm.data.format import NO_DIGIT
from mnist_lstm.errors import TrainingError
from mnist_lstm.training.callbacks.monitor import TrainingMonitor
from mnist_lstm.training.metrics import IntervalMetrics


def logits(*digits: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(digits), 10).float()


def test_metrics_average_over_the_interval() -> None:
    interval = IntervalMetrics()
    interval.update(torch.tensor(1.0), logits(1, 2, 3), torch.tensor([1, 2, 4]))
    interval.update(torch.tensor(2.0), logits(5), torch.tensor([5]))
    assert interval.compute() == {"train/loss": 1.5, "train/acc": 0.75}
    interval.reset()
    interval.update(torch.tensor(4.0), logits(5), torch.tensor([6]))
    assert interval.compute() == {"train/loss": 4.0, "train/acc": 0.0}


def test_accuracy_is_that_of_the_digits() -> None:
    interval = IntervalMetrics()
    interval.update(torch.tensor(1.0), logits(1, 2, 3, 4), torch.tensor([1, NO_DIGIT, 4, NO_DIGIT]))
    assert interval.compute()["train/acc"] == 0.5
    interval.reset()
    interval.update(torch.tensor(1.0), logits(1), torch.tensor([NO_DIGIT]))
    assert interval.compute()["train/acc"] == 0


def test_metrics_keep_neither_graph_nor_logits() -> None:
    interval = IntervalMetrics()
    weight = torch.ones(1, requires_grad=True)
    for _ in range(3):
        interval.update(weight.sum(), logits(1, 2) * weight, torch.tensor([1, 2]))
    kept = [value for value in vars(interval).values() if isinstance(value, torch.Tensor)]
    assert all(value.dim() == 0 and not value.requires_grad for value in kept)


def steps(
    monitor: TrainingMonitor, losses: list[float], first: int = 1, every: int = 0, logged: dict | None = None
) -> None:
    module = SimpleNamespace(log=logged.__setitem__ if logged is not None else None)
    for step, loss in enumerate(losses, start=first):
        trainer = SimpleNamespace(global_step=step, log_every_n_steps=every, current_epoch=2)
        monitor.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, (torch.zeros(2), None), 0)


def test_throughput_excludes_time_outside_training(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 2.0, 100.0, 102.0, 102.0])
    logged: dict[str, float] = {}
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    monitor = TrainingMonitor()
    trainer = SimpleNamespace(training=True, sanity_checking=False)
    monitor.on_train_epoch_start(trainer, None)
    steps(monitor, [1.0])
    monitor.on_validation_start(trainer, None)
    monitor.on_validation_end(trainer, None)
    steps(monitor, [1.0], first=2, every=2, logged=logged)
    assert logged == {"train/images_per_second": 1.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_non_finite_loss_is_named(bad: float) -> None:
    monitor = TrainingMonitor()
    steps(monitor, [1.0, bad, float("nan")], first=98)
    with pytest.raises(TrainingError, match=f"became {bad} at step 99 .epoch 3.*learning_rate"):
        monitor.on_train_epoch_end(SimpleNamespace(current_epoch=2), None)


def test_the_step_of_a_non_finite_loss_is_right_after_a_log_line() -> None:
    monitor = TrainingMonitor()
    monitor.on_train_epoch_start(SimpleNamespace(), None)
    steps(monitor, [1.0] * 3, every=2, logged={})
    steps(monitor, [float("nan")], first=4)
    with pytest.raises(TrainingError, match="became nan at step 4 "):
        monitor.on_train_epoch_end(SimpleNamespace(current_epoch=2), None)


def test_finite_losses_pass_and_are_cleared() -> None:
    monitor = TrainingMonitor()
    monitor.on_train_epoch_end(SimpleNamespace(current_epoch=0), None)
    steps(monitor, [1.0] * 5)
    monitor.on_train_epoch_end(SimpleNamespace(current_epoch=0), None)
    assert monitor._losses == []
