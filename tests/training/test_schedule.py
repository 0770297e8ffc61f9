"""The learning rate at each step."""

import pytest
import torch

from mnist_lstm.training.schedule import learning_rate_factor


def pytorch_rates(make_scheduler, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [2, 3, 4, 10, 137])
def test_one_cycle_equals_pytorchs(steps: int) -> None:
    expected = pytorch_rates(lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, steps), steps)
    assert [learning_rate_factor("one_cycle", step, steps) for step in range(steps)] == pytest.approx(expected)


def test_cosine_equals_pytorchs() -> None:
    expected = pytorch_rates(lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 49), 50)
    assert [learning_rate_factor("cosine", step, 50) for step in range(50)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 100])
def test_factors_are_between_0_and_1_and_stay_constant_after_the_end(schedule: str, steps: int) -> None:
    factors = [learning_rate_factor(schedule, step, steps) for step in range(steps + 5)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors[max(steps, 2) - 1 :] == [factors[-1]] * len(factors[max(steps, 2) - 1 :])
