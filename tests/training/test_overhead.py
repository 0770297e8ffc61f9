"""A run that is not profiled opens no contexts; one that is profiled still is."""

import pytest
from conftest import Command
from lightning.pytorch.profilers import SimpleProfiler

from mnist_lstm.training.overhead import NoProfiler


def test_nothing_is_measured_and_nothing_is_swallowed() -> None:
    profiler = NoProfiler()
    with profiler.profile("a"), profiler.profile("b"):
        done = True
    assert done
    assert profiler.profile("a") is profiler.profile("b")
    with pytest.raises(KeyError), profiler.profile("a"):
        raise KeyError


@pytest.mark.parametrize("asked_for", [False, True])
def test_a_profiler_is_used_if_it_is_asked_for(fit: Command, asked_for: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(SimpleProfiler, "start", lambda self, action: seen.append(action))
    monkeypatch.setattr(SimpleProfiler, "stop", lambda self, action: None)
    options = ["--trainer.log_every_n_steps=2", "--trainer.max_epochs=1", "--test_after_fit=false"]
    code, _, err = fit(*options, *(["--trainer.profiler=simple"] if asked_for else []))
    assert code == 0, err
    assert ("run_training_batch" in seen) == asked_for
