"""A run that is not profiled opens no contexts; one that is profiled still is."""

import logging

import pytest
from conftest import Command

from mnist_lstm.profiler import NoProfiler


def test_nothing_is_measured_and_nothing_is_swallowed() -> None:
    profiler = NoProfiler()
    with profiler.profile("a"), profiler.profile("b"):
        done = True
    assert done
    assert profiler.profile("a") is profiler.profile("b")


def test_a_profiler_that_is_asked_for_is_used(fit: Command, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    code, _, err = fit(
        "--trainer.log_every_n_steps=2", "--trainer.max_epochs=1", "--test_after_fit=false", "--trainer.profiler=simple"
    )
    assert code == 0, err
    assert "run_training_batch" in caplog.text
