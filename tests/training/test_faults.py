"""`fit` on disks that are full, in folders that are removed, killed at random, for many epochs: real faults."""

import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command, fit_args, succeed
from disks import no_file_larger_than, small_disk
from lightning.pytorch import Callback
from test_within_epochs import LONGER, RUNS, assert_same, load

from mnist_lstm.cli import main
from mnist_lstm.data import mnist_files
from mnist_lstm.training.history import read_scalars

QUICK = (*LONGER, "--test_after_fit=false")
LINE = re.compile(
    r"^mnist-lstm: error: (?P<file>.+): cannot be written \((?P<reason>[^)]+)\); (?P<hint>.+)$", re.MULTILINE
)


@pytest.mark.parametrize(("size", "file"), [(20_000, "checkpoints/"), (1_000, "config.yaml")])
def test_a_full_disk_is_one_line(fit: Command, archives: Path, size: int, file: str) -> None:
    mnist_files.fetch(Path("data"), archives)
    with no_file_larger_than(size):
        code, out, err = fit(*QUICK, "--trainer.logger=false")
    assert code == 1, err
    assert "Traceback" not in out + err
    (line,) = (line for line in err.splitlines() if "error" in line)
    assert file in line
    assert re.search(r"cannot be written \(File too large after [\d,]+( of [\d,]+)? bytes\)", line)


def test_full_event_files_name_the_last_checkpoint(fit: Command) -> None:
    options = (*QUICK, "--trainer.max_epochs=24", "--trainer.log_every_n_steps=1", "--model.hidden_size=4")
    succeed(fit, *options)
    with no_file_larger_than(70_000):
        code, out, err = fit(*options)
    assert code == 1, err
    assert "Traceback" not in out + err
    found = LINE.search(err)
    assert found, err
    assert found["file"] == f"TensorBoard files in {RUNS}/version_1"
    assert f"the last checkpoint is {RUNS}/version_1/checkpoints/last.ckpt (step " in found["hint"]
    assert "resume with: " in found["hint"]
    succeed(fit, *options, "--ckpt_path=last")
    assert_same(load(0), load(2))
    names = ("train/loss", "val/acc")
    assert read_scalars(RUNS / "version_2", names) == read_scalars(RUNS / "version_0", names)


class Remove(Callback):
    """Remove the run's folder in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        if trainer.current_epoch == 1:
            shutil.rmtree(trainer.log_dir)


def test_a_removed_run_folder_is_one_line(fit: Command) -> None:
    code, out, err = fit(*QUICK, '--trainer.callbacks+={"class_path": "test_faults.Remove"}')
    assert code == 1, err
    assert "Traceback" not in out + err
    assert f"error: {RUNS}/version_0: the run's folder has been removed while the run was going on; " in err
    assert not (RUNS / "version_0").exists()


class Memory(Callback):
    """Note the memory in use after each epoch, in MiB."""

    used: list[float] = []  # noqa: RUF012

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.used.append(pages * resource.getpagesize() / 2**20)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("epochs", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_memory_stays_flat(fit: Command, epochs: int) -> None:
    Memory.used.clear()
    callback = '{"class_path": "test_faults.Memory"}'
    options = (
        f"--trainer.max_epochs={epochs}",
        "--pictures_every_n_epochs=1" if epochs > 20 else "--data.augment=true",
    )
    succeed(fit, *options, "--test_after_fit=false", f"--trainer.callbacks+={callback}")
    settled, last = Memory.used[epochs // 4], Memory.used[-1]
    print(f"{epochs} epochs: {settled:.0f} MiB after a quarter, {last:.0f} MiB in the end")
    assert last - settled < 16


# --- slow: many faults at random ---


class Step(Callback):
    """Write the number of steps into a file after each."""

    def on_train_batch_end(self, trainer, pl_module, *args: Any) -> None:
        with Path("step").open("w") as file:
            file.write(str(trainer.global_step))


def fork(args: list[str]) -> int:
    """Run a command in a process of its own, which need not import PyTorch again; return its id."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            code = main(args)
        finally:
            os._exit(code)
    return child


@pytest.mark.slow
@pytest.mark.usefixtures("archives")
def test_50_kills_lose_nothing_but_the_steps_since_the_last_checkpoint(archives: Path) -> None:
    kills, every, rng = 0, 5, random.Random(0)
    options = (*QUICK, "--trainer.max_epochs=12", "--data.augment=true", "--model.dropout=0.2", "--model.num_layers=2")
    step = '--trainer.callbacks+={"class_path": "test_faults.Step"}'
    args = [str(arg) for arg in fit_args(archives, *options, f"--checkpoint_every_n_steps={every}", step)]
    assert os.waitpid(fork(args), 0)[1] == 0, Path("log").read_text()
    trainings = 0
    while kills < 50:
        before: list[str] = []
        saved = 0
        while True:
            Path("step").unlink(missing_ok=True)
            child = fork([*args, *before])
            # most of the time passes before the first step: the kill comes some steps after it, or long before
            ended, is_early = 0, rng.random() < 0.1
            while not is_early and not Path("step").exists() and not ended:
                time.sleep(0.01)
                ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                time.sleep(rng.uniform(0, 2))
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status):
                # killed when it had been trained to the end, a run has nothing left to resume
                log = Path("log").read_text()
                assert os.WEXITSTATUS(status) == 0 or "has been trained for 12 epochs already" in log, log
                break
            kills += 1
            done = int(Path("step").read_text() or 0) if Path("step").exists() else 0
            newest = max(RUNS.glob("version_*"), key=lambda run: int(run.name[8:]))
            last = newest / "checkpoints/last.ckpt"
            if last.is_file():
                saved, before = torch.load(last, weights_only=True)["global_step"], [f"--ckpt_path={last}"]
            assert done - saved <= every, f"{done} steps, and {saved} saved"
        trainings += 1
        for name in ("last", "best"):
            assert_same(load(0, name), load(max(int(run.name[8:]) for run in RUNS.iterdir()), name))
    print(f"{kills} kills in {trainings} trainings")


@pytest.mark.slow
def test_20_full_disks_are_20_clear_errors_and_20_whole_checkpoints(fit: Command) -> None:
    rng = random.Random(0)
    options = (*QUICK, "--trainer.max_epochs=40", "--trainer.log_every_n_steps=1", "--checkpoint_every_n_steps=7")
    named: dict[str, int] = {}
    for _ in range(20):
        with small_disk(rng.randrange(300_000, 900_000)) as disk:
            code, out, err = fit(*options, f"--trainer.default_root_dir={disk}", "--pictures_every_n_epochs=3")
            assert code == 1, out + err
            assert "Traceback" not in out + err
            (line,) = (line for line in err.splitlines() if "error" in line)
            found = LINE.search(line)
            assert found, err
            assert "No space left on device" in found["reason"]
            (step,) = re.findall(r"the last checkpoint is \S+last.ckpt \(step ([\d,]+)\); resume with: ", line)
            for file in disk.rglob("*.ckpt"):
                content = torch.load(file, weights_only=True)
                assert file.name != "last.ckpt" or content["global_step"] == int(step.replace(",", ""))
            name = Path(found["file"].split()[0]).name
            named[name] = named.get(name, 0) + 1
    print("20 full disks; files that did not fit:", json.dumps(named))
