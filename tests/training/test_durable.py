"""Killed, full, damaged: a run goes on from its newest whole checkpoint, bit by bit, and leaves nothing behind.

The faults are real: processes are killed while they write, and files do not fit.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, fail, succeed
from lightning.pytorch import Trainer
from test_cli_fit import LOGGED, RUNS, assert_same_weights, load, stop_after

from mnist_lstm.errors import InputError, TrainingError, WriteError
from mnist_lstm.files import TEMPORARY
from mnist_lstm.network.checkpoint import read_checkpoint
from mnist_lstm.training.checkpoint_io import DurableCheckpointIO
from mnist_lstm.training.module import DigitClassifier
from mnist_lstm.training.resume import Checkpoint

SHM = Path("/dev/shm")


def checkpoints(version: int = 0) -> Path:
    return RUNS / f"version_{version}/checkpoints"


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut short":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])


@pytest.mark.parametrize("how", ["missing", "empty", "cut short", "one bit"])
def test_a_bad_last_checkpoint_is_replaced_by_the_newest_whole_one_of_its_run_to_resume(
    trained: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    for name, step in (("last", 18), ("previous", 12)):
        torch.save(load(trained / "last.ckpt") | {"global_step": step}, trained / f"{name}.ckpt")
    damage(trained / "last.ckpt", how)
    config = trained.parent / "config.yaml"
    for name, configs in (("last", []), ("last", [config]), (str(trained / "last.ckpt"), [])):
        assert Checkpoint(name, Path("runs"), configs, to_resume=True).path == trained / "previous.ckpt"
        assert re.fullmatch(f"mnist-lstm: warning: .*last.*; taking {trained}/previous.ckpt\n", capsys.readouterr().err)
        with pytest.raises(InputError, match=r"last"):
            Checkpoint(name, Path("runs"), configs)
    damage(trained / "previous.ckpt", how)
    assert Checkpoint("last", Path("runs"), [], to_resume=True).path == trained / "best.ckpt"
    assert Checkpoint("best", Path("runs"), [], to_resume=True).path == trained / "best.ckpt"
    Path("elsewhere").mkdir()
    shutil.copy(trained / "best.ckpt", "elsewhere")
    Path("elsewhere/last.ckpt").touch()
    with pytest.raises(InputError, match=r"^elsewhere/last.ckpt: "):
        Checkpoint("elsewhere/last.ckpt", Path("runs"), [], to_resume=True)


def test_a_run_that_goes_on_from_the_checkpoint_before_the_last_equals_an_uninterrupted_one(fit: Command) -> None:
    options = (
        "--trainer.max_epochs=4",
        "--model.dropout=0.3",
        "--model.num_layers=2",
        LOGGED,
        "--test_after_fit=false",
    )
    succeed(fit, *options)
    fit(*options, *stop_after(3))
    damage(checkpoints(1) / "last.ckpt", "one bit")
    damage(checkpoints(1) / "best.ckpt", "empty")
    _, err = succeed(fit, *options, "--ckpt_path=last")
    assert f"taking {checkpoints(1) / 'previous.ckpt'}" in err
    assert_same_weights(0, 2)


def test_a_damaged_best_checkpoint_is_not_carried_over_and_said(fit: Command, trained: Path) -> None:
    damage(trained / "best.ckpt", "one bit")
    _, err = succeed(fit, "--ckpt_path=last", "--trainer.max_epochs=2", "--test_after_fit=false")
    assert "warning: the best checkpoint so far is lost: " in err
    assert read_checkpoint(checkpoints(1) / "best.ckpt")["epoch"] == 1


def test_without_a_whole_checkpoint_and_for_other_commands_a_damaged_one_is_refused(
    fit: Command, command: Command, trained: Path
) -> None:
    damage(trained / "best.ckpt", "one bit")
    for name in ("validate", "test", "predict"):
        assert "best.ckpt: is damaged" in fail(command, name, "--ckpt_path=best")
    assert "best.ckpt: is damaged" in fail(command, "classify", "7.png", "--ckpt_path=best")
    damage(trained / "last.ckpt", "cut short")
    for name in ("last", "best"):
        assert f"{name}.ckpt: is" in fail(fit, f"--ckpt_path={name}")
    assert [path.name for path in RUNS.iterdir()] == ["version_0"]


def test_a_weight_that_is_not_finite_is_not_written_and_the_checkpoint_of_before_stays() -> None:
    module = DigitClassifier(hidden_size=8)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, plugins=[DurableCheckpointIO()])
    trainer.strategy.connect(module)
    trainer.save_checkpoint("last.ckpt", weights_only=True)
    before = Path("last.ckpt").read_bytes()
    with torch.no_grad():
        module.model.head.weight[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"^last.ckpt: not written, because model.head.weight has become "):
        trainer.save_checkpoint("last.ckpt", weights_only=True)
    assert Path("last.ckpt").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["last.ckpt"]


def test_the_plugin_reads_what_it_wrote_and_refuses_what_it_did_not() -> None:
    plugin = DurableCheckpointIO()
    for number in range(3):
        plugin.save_checkpoint({"number": number}, "folder/last.ckpt")
    assert plugin.load_checkpoint("folder/last.ckpt")["number"] == 2
    assert plugin.load_checkpoint("folder/previous.ckpt")["number"] == 1
    damage(Path("folder/last.ckpt"), "cut short")
    with pytest.raises(ValueError, match=r"^folder/last.ckpt: .*damaged"):
        plugin.load_checkpoint("folder/last.ckpt")


def test_a_checkpoints_folder_may_be_a_link_and_a_linked_checkpoint_keeps_what_it_points_to() -> None:
    plugin = DurableCheckpointIO()
    Path("disk").mkdir()
    Path("run").mkdir()
    Path("run/checkpoints").symlink_to("../disk")
    Path("mine").write_bytes(b"mine")
    Path("disk/last.ckpt").symlink_to("../mine")
    plugin.save_checkpoint({"number": 1}, "run/checkpoints/last.ckpt")
    assert Path("mine").read_bytes() == b"mine"
    assert plugin.load_checkpoint("disk/last.ckpt")["number"] == 1


def test_a_checkpoint_that_cannot_be_written_is_named() -> None:
    Path("file").touch()
    for path in ("file/last.ckpt", "/proc/last.ckpt", f"{'x' * 300}.ckpt"):
        with pytest.raises(WriteError) as error:
            DurableCheckpointIO().save_checkpoint({}, path)
        assert path in str(error.value)


# a real fit as a process of its own, on scikit-learn's digits
SMALL = ("--data.dataset=digits", "--model.hidden_size=8", "--model.num_layers=2", "--model.dropout=0.3",
         "--trainer.accelerator=cpu", "--data.batch_size=256", "--trainer.max_epochs=150", "--test_after_fit=false",
         "--pictures_every_n_epochs=0", "--trainer.logger=false", "--trainer.enable_progress_bar=false")  # fmt: skip
DIGITS = Path("runs/digits")


def start(*args: str | Path, temporary: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mnist_lstm", "fit", *SMALL, *map(str, args)]
    environment = os.environ | {"TMPDIR": str(temporary)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def temporary_files(folder: Path) -> list[Path]:
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names if TEMPORARY.fullmatch(name)]


def kill_while_it_writes(process: subprocess.Popen[str], folder: Path, after: int, delay_s: float) -> None:
    """Kill a process ``delay_s`` after it has begun to write the next file of checkpoints after ``after`` others."""
    seen: set[str] = set()
    while process.poll() is None:
        seen |= {path.name for path in temporary_files(folder)}
        if len(seen) > after:
            time.sleep(delay_s)
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(
    not SHM.is_dir() or SHM.stat().st_dev == Path(__file__).stat().st_dev, reason="needs /dev/shm of its own"
)
def test_50_kills_inside_of_a_checkpoints_writing_lose_nothing(tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    every = f"""{{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": {{"save_top_k": -1,
        "dirpath": "{reference}", "filename": "{{epoch}}", "auto_insert_metric_name": false}}}}"""
    temporary = SHM / f"mnist-lstm-test-{os.getpid()}"
    temporary.mkdir()
    try:
        process = start(f"--trainer.callbacks+={every}", temporary=temporary)
        _, err = process.communicate()
        assert process.returncode == 0, err
        shutil.rmtree("runs")
        newest, inside, whole, lost = None, 0, 0, 0
        draw = random.Random(0)
        for kill in range(50):
            process = start(*([f"--ckpt_path={newest}"] if newest else []), temporary=temporary)
            folder = DIGITS / f"version_{kill}" / "checkpoints"
            kill_while_it_writes(process, folder, draw.randrange(1, 6), draw.uniform(0, 0.003))
            assert process.returncode == -signal.SIGKILL
            left = temporary_files(Path("runs"))
            assert all(path.parent == folder for path in left), "those of the kill before are removed"
            inside += bool(left)
            for path in folder.glob("*.ckpt"):
                state = read_checkpoint(path)
                assert_equal(state, load(reference / f"{state['epoch']}.ckpt"))
                whole += 1
            if (folder / "last.ckpt").is_file():
                newest = folder / "last.ckpt"
            else:
                lost += 1
        process = start(f"--ckpt_path={newest}", temporary=temporary)
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert inside >= 25
        assert whole >= 50
        last = DIGITS / "version_50/checkpoints/last.ckpt"
        assert_equal(load(last), load(reference / "149.ckpt"))
        assert temporary_files(Path("runs")) == []
        assert list(temporary.iterdir()) == []
        print(
            f"50 kills, {inside} with a file half written, {lost} before the run's first last.ckpt: "
            f"{whole} of {whole} checkpoints whole and equal to those of the uninterrupted run, as is the last"
        )
    finally:
        shutil.rmtree(temporary)


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "rng_state", "global_step", "MNISTDataModule"):
        assert_same(ours[part], theirs[part])


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert_same(ours[name], theirs[name])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


def test_runs_lie_in_odd_places_and_among_many_others(fit: Command, command: Command) -> None:
    Path("disk").mkdir()
    place = Path("é\n7 \x1b[31m")
    place.symlink_to("disk")
    runs = place / "runs/mnist"
    for number in range(2000):
        (runs / f"version_{number}/checkpoints").mkdir(parents=True)
    left = runs / f"version_7/checkpoints/.mnist-lstm-{'0' * 16}.tmp"
    left.touch()
    root = f"--trainer.default_root_dir={place}"
    succeed(fit, root, "--trainer.max_epochs=1", "--test_after_fit=false")
    assert not left.exists()
    assert (runs / "version_2000/checkpoints/best.ckpt").is_file()
    succeed(command, "test", root, "--ckpt_path=best")
