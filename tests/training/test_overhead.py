"""A run that is not profiled opens no contexts; one that is profiled still is."""

import pytest
import torch
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


@pytest.mark.parametrize("clip", ["0.01", "100"])
def test_weights_are_the_same_without_the_speed_ups(fit: Command, monkeypatch: pytest.MonkeyPatch, clip: str) -> None:
    options = ["--test_after_fit=false", f"--trainer.gradient_clip_val={clip}", "--trainer.log_every_n_steps=4"]
    assert fit(*options)[0] == 0
    monkeypatch.setattr("mnist_lstm.training.run.reduce_overhead", lambda trainer, model: None)
    assert fit(*options)[0] == 0
    first, second = (torch.load(f"runs/mnist/version_{n}/checkpoints/last.ckpt", weights_only=True) for n in (0, 1))
    assert all(torch.equal(first["state_dict"][name], second["state_dict"][name]) for name in first["state_dict"])
    assert first["callbacks"].keys() == second["callbacks"].keys()
