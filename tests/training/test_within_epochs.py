"""Runs that are stopped within an epoch, by real signals, and resumed: equal to uninterrupted ones, bit by bit."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from conftest import REPOSITORY, Command, fail, succeed
from lightning.pytorch import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mnist_lstm.training.history import read_scalars

RUNS = Path("runs/mnist")
LONGER = ("--data.batch_size=32", "--trainer.max_epochs=3", "--trainer.log_every_n_steps=3")  # epochs of 11 steps
EMA = ("--config", REPOSITORY / "configs/ema.yaml")
RECORD = ("--config", REPOSITORY / "configs/record.yaml", "--model.hidden_size=16", "--data.val_size=50")
ANY_HAND = (*RECORD, "--config", REPOSITORY / "configs/any_hand.yaml")
MIXED = ("--config", REPOSITORY / "configs/cpu_mixed.yaml")


class Send(Callback):
    """Send this process signals after some steps, or in validation."""

    def __init__(self, at: dict[str, str] | None = None, validation: str = "") -> None:
        self.at = {int(step): name for step, name in (at or {}).items()}
        self.validation = validation

    def on_train_batch_end(self, trainer, pl_module, *args: Any) -> None:
        if trainer.global_step in self.at:
            os.kill(os.getpid(), getattr(signal, self.at.pop(trainer.global_step)))

    def on_validation_batch_end(self, trainer, pl_module, *args: Any) -> None:
        if self.validation and not trainer.sanity_checking and trainer.current_epoch == 1:
            os.kill(os.getpid(), getattr(signal, self.validation))


def send(at: dict[int, str] | None = None, **options: Any) -> str:
    values = {"at": {str(step): name for step, name in (at or {}).items()}, **options}
    return f"--trainer.callbacks+={json.dumps({'class_path': 'test_within_epochs.Send', 'init_args': values})}"


def load(version: int, name: str = "last") -> dict[str, Any]:
    return torch.load(RUNS / f"version_{version}/checkpoints/{name}.ckpt", weights_only=True)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every plain value and tensor of a checkpoint with its path, but no names of files and of `Send`."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not (isinstance(part, str) and ".ckpt" in part) and "best_k_models" not in str(name):
                yield from leaves(part, f"{path}/{str(name).partition('{')[0]}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from leaves(part, f"{path}/{index}")
    else:
        yield path, value


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compare weights, optimizer, schedule, generators, progress and scores, bit by bit."""
    one, other = (
        {
            path: leaf
            for path, leaf in leaves(checkpoint)
            if not re.search(r"dirpath|/kth_best|_model_path|per_second", path)
        }
        for checkpoint in (first, second)
    )
    assert one.keys() == other.keys()
    for path, leaf in one.items():
        same = torch.equal(leaf, other[path]) if isinstance(leaf, torch.Tensor) else leaf == other[path]
        assert same, f"{path}: {leaf} {other[path]}"


def scalars(*versions: int) -> dict[str, list[tuple[int, float]]]:
    """Return what runs have logged, one after another; nothing that is a time."""
    found: dict[str, list[tuple[int, float]]] = {}
    for version in versions:
        events = EventAccumulator(str(RUNS / f"version_{version}"), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            if "per_second" not in name and name != "hp_metric":
                found.setdefault(name, []).extend((event.step, event.value) for event in events.Scalars(name))
    return found


def lines(out: str) -> list[str]:
    """Return the lines of epochs, without their seconds."""
    return [re.sub(r"  [\d.]+ s  ", "  ", line) for line in out.splitlines() if line.startswith("epoch ")]


def check_stop_and_resume(fit: Command, *options: str | Path, step: int = 15, extra: tuple = ()) -> None:
    """Compare a run with one that is stopped by SIGTERM after ``step`` steps and resumed."""
    options = (*options, *LONGER, "--model.dropout=0.3", "--model.num_layers=2", "--test_after_fit=false")
    whole, _ = succeed(fit, *options)
    code, out, err = fit(*options, *extra, send({step: "SIGTERM"}))
    assert code == 143, out + err
    assert err.splitlines()[-1].startswith("mnist-lstm: stopped by SIGTERM; resume with: ")
    assert load(1)["global_step"] == step
    resumed, _ = succeed(fit, *options, "--ckpt_path=last", "--seed_everything=7")
    assert lines(out) + lines(resumed) == lines(whole)
    for name in ("last", "best") if (RUNS / "version_0/checkpoints/best.ckpt").exists() else ("last",):
        assert_same(load(0, name), load(2, name))
    assert scalars(1, 2) == scalars(0)


def test_a_run_stopped_within_an_epoch_resumes_bit_by_bit(fit: Command) -> None:
    check_stop_and_resume(fit, "--data.augment=true", *EMA)


def test_checkpoints_by_steps_and_minutes(fit: Command) -> None:
    options = (*LONGER, "--trainer.max_epochs=1", "--test_after_fit=false")
    callback = '{"class_path": "test_within_epochs.NoteSteps"}'
    succeed(fit, *options, "--checkpoint_every_n_steps=4", f"--trainer.callbacks+={callback}")
    assert NoteSteps.seen == {4, 8}
    succeed(fit, *options, "--checkpoint_every_n_minutes=0.00001", f"--trainer.callbacks+={callback}")
    assert NoteSteps.seen == set(range(1, 11))
    assert_same(load(0), load(1))  # both from the epoch's end


class NoteSteps(Callback):
    """Note the steps of last.ckpt whenever a batch ends."""

    seen: ClassVar[set[int]] = set()

    def on_train_start(self, trainer, pl_module) -> None:
        self.seen.clear()

    def on_train_batch_end(self, trainer, pl_module, *args: Any) -> None:
        files = list(RUNS.glob("*/checkpoints/last.ckpt"))
        if files:
            newest = max(files, key=lambda file: file.stat().st_mtime_ns)
            if newest.parent == Path(trainer.log_dir, "checkpoints"):
                self.seen.add(torch.load(newest, weights_only=True)["global_step"])


def test_the_rest_of_an_epoch_needs_the_same_batches(fit: Command) -> None:
    fit(*LONGER, send({5: "SIGTERM"}))
    err = fail(fit, *LONGER, "--ckpt_path=last", "--data.batch_size=16")
    assert "was saved within an epoch with --data.batch_size 32" in err


def test_the_curves_of_a_resumed_run_are_those_of_the_whole_training(fit: Command) -> None:
    succeed(fit, *LONGER)
    for version, step in ((1, 5), (2, 20)):
        first = ("--ckpt_path=last",) if version > 1 else ()
        code, _, err = fit(*LONGER, *first, send({step: "SIGTERM"}))
        assert (code, "curves.png lacks" in err) == (143, False)
    names = ("train/loss", "val/acc")
    _, err = succeed(fit, *LONGER, "--ckpt_path=last")
    assert "curves.png lacks" not in err
    whole = read_scalars(RUNS / "version_0", names)
    assert [len(points) for points in whole[0].values()] == [11, 3]
    assert read_scalars(RUNS / "version_3", names) == whole
    # the runs may be moved together; of a run that is gone, the resumed one says so
    RUNS.rename("moved")
    assert read_scalars(Path("moved/version_3"), names) == whole
    shutil.rmtree("moved/version_1")
    part, missing = read_scalars(Path("moved/version_3"), names)
    assert part["train/loss"] == whole[0]["train/loss"][1:]
    assert missing.startswith("the steps before 5: moved/version_1/checkpoints/last.ckpt is not in")


RECIPES = {
    "default": (),
    "record": RECORD,
    "any hand": ANY_HAND,
    "bfloat16": MIXED,
    "bfloat16, any hand": (*MIXED, *ANY_HAND),
    "workers": ("--data.num_workers=2", "--data.augment=true"),
    "no validation": ("--data.val_size=0",),
    "by steps": ("--trainer.max_steps=30",),
    "validation every other epoch": ("--trainer.check_val_every_n_epoch=2",),
    "validation within epochs": ("--trainer.val_check_interval=5",),
    "part of the images": ("--trainer.limit_train_batches=8",),
    "accumulated gradients": ("--trainer.accumulate_grad_batches=2",),
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_resumes_within_an_epoch_bit_by_bit(fit: Command, recipe: str) -> None:
    check_stop_and_resume(fit, *RECIPES[recipe], step=10)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 6, 11, 12, 21, 22])
def test_every_step_of_an_epoch_resumes_bit_by_bit(fit: Command, step: int) -> None:
    check_stop_and_resume(fit, "--trainer.val_check_interval=6", "--data.augment=true", step=step)
