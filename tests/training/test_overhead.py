"""Speed-ups of the training loop change neither profiling nor weights."""

import pytest
import torch
from conftest import Command, succeed
from lightning.pytorch.profilers import SimpleProfiler

from mnist_lstm.training.overhead import NoProfiler


def test_no_profiler_shares_one_context_and_propagates_errors() -> None:
    profiler = NoProfiler()
    with profiler.profile("a"), profiler.profile("b"):
        done = True
    assert done
    assert profiler.profile("a") is profiler.profile("b")
    with pytest.raises(KeyError), profiler.profile("a"):
        raise KeyError


@pytest.mark.parametrize("requested", [False, True])
def test_a_profiler_is_used_only_on_request(fit: Command, requested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(SimpleProfiler, "start", lambda self, action: seen.append(action))
    monkeypatch.setattr(SimpleProfiler, "stop", lambda self, action: None)
    options = ["--trainer.log_every_n_steps=2", "--trainer.max_epochs=1", "--test_after_fit=false"]
    succeed(fit, *options, *(["--trainer.profiler=simple"] if requested else []))
    assert ("run_training_batch" in seen) == requested


@pytest.mark.parametrize("clip", ["0.01", "100"])
def test_weights_are_the_same_without_the_speed_ups(fit: Command, monkeypatch: pytest.MonkeyPatch, clip: str) -> None:
    options = ["--test_after_fit=false", f"--trainer.gradient_clip_val={clip}", "--trainer.log_every_n_steps=4"]
    succeed(fit, *options)
    monkeypatch.setattr("mnist_lstm.training.run.reduce_overhead", lambda trainer, model: None)
    succeed(fit, *options)
    first, second = (torch.load(f"runs/mnist/version_{n}/checkpoints/last.ckpt", weights_only=True) for n in (0, 1))
    assert all(torch.equal(first["state_dict"][name], second["state_dict"][name]) for name in first["state_dict"])
    assert first["callbacks"].keys() == second["callbacks"].keys()
