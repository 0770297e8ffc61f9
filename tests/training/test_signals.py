"""What signals do to commands. They are real; `test_within_epochs.Send` sends them to this process."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command, fit_args, succeed
from lightning.pytorch import Callback
from test_within_epochs import LONGER, RUNS, assert_same, load, scalars, send

from mnist_lstm.errors import Stopped
from mnist_lstm.training import signals
from mnist_lstm.training.signals import SAME_REQUEST_S

QUICK = (*LONGER, "--test_after_fit=false")


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """Let this process heed signals, also under nohup or in the background of a shell, which have it ignore some."""
    names = ("SIGHUP", "SIGINT", "SIGTERM")
    before = {number: signal.getsignal(number) for number in (getattr(signal, name) for name in names)}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_that_save_go_on_and_change_nothing(fit: Command) -> None:
    succeed(fit, *QUICK)
    _, err = succeed(fit, *QUICK, send({5: "SIGUSR1", 11: "SIGUSR2"}))
    assert "mnist-lstm: SIGUSR1: saved at step 5, epoch 1\n" in err
    # after the last step of an epoch, the checkpoint is that of its end
    assert "mnist-lstm: SIGUSR2: saved at step 11, epoch 2\n" in err
    assert_same(load(0), load(1))
    assert scalars(0) == scalars(1)


def test_sighup_in_validation_ends_after_the_epoch_is_saved(fit: Command) -> None:
    succeed(fit, *QUICK)
    code, out, err = fit(*QUICK, send(validation="SIGHUP"))
    assert code == 129, err
    assert "epoch 2/3" in out
    assert "epoch 3/3" not in out
    assert "mnist-lstm: stopped by SIGHUP; resume with: " in err
    assert load(1)["global_step"] == 22
    succeed(fit, *QUICK, "--ckpt_path=last")
    assert_same(load(0), load(2))


def test_a_signal_after_the_last_step_says_how_to_test(fit: Command) -> None:
    code, _, err = fit(*QUICK, "--trainer.max_epochs=2", send(validation="SIGTERM"))
    assert code == 143
    (line,) = re.findall(
        "stopped by SIGTERM; it has been trained to the end; test it with: .*mnist-lstm (test .*)", err
    )
    assert line == f"test --ckpt_path {RUNS}/version_0/checkpoints/best.ckpt"


@pytest.mark.usefixtures("trained")
def test_sigterm_ends_other_commands_at_once(command: Command, archives: Path) -> None:
    data = ("--data.archives", archives, "--ckpt_path=best", "--allow_custom_classes=test_signals")
    callback = '{"class_path": "test_signals.SendInTest"}'
    code, out, err = command("test", *data, f"--trainer.callbacks+={callback}")
    assert (code, out) == (143, "")
    assert err.endswith("mnist-lstm: stopped by SIGTERM\n")
    assert "Traceback" not in err


@pytest.mark.usefixtures("trained")
def test_ignored_signals_stay_ignored(fit: Command) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        succeed(fit, *QUICK, send({5: "SIGHUP"}))
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_restored(fit: Command) -> None:
    names = ("SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2")
    before = [signal.getsignal(getattr(signal, name)) for name in names]
    fit(*QUICK, send({5: "SIGTERM"}))
    assert [signal.getsignal(getattr(signal, name)) for name in names] == before


def start_fit(archives: Path, *args: str) -> subprocess.Popen[str]:
    """Start `fit` in a process of its own, on the tiny MNIST."""
    program = (
        "import sys; from pathlib import Path; import pytest; from conftest import publish\n"
        "from mnist_lstm.cli import main\n"
        "with pytest.MonkeyPatch.context() as patch:\n"
        "    publish(Path(sys.argv[1]), patch)\n"
        "    sys.exit(main(sys.argv[2:]))"
    )
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent), *sys.path])
    options = [str(arg) for arg in fit_args(archives, *QUICK, *args)]
    command = [sys.executable, "-c", program, str(archives), *options]
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_second_signal_is_followed_at_once(archives: Path) -> None:
    callback = '{"class_path": "test_signals.LongStep"}'
    process = start_fit(archives, f"--trainer.callbacks+={callback}")
    while not Path("in a step").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    time.sleep(SAME_REQUEST_S + 0.3)
    assert process.poll() is None  # it waits for the step
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - start < 10  # of the 60 s of the step
    assert "Traceback" not in err


def test_a_request_that_is_repeated_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SAME_REQUEST_S", 60.0)
    asked = signals.Signals()
    with asked.handled(saves=False):
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does
    assert asked.ending == signal.SIGTERM


@pytest.mark.parametrize("array", [False, True])
def test_slurm_jobs_are_requeued_and_go_on_by_themselves(
    fit: Command, monkeypatch: pytest.MonkeyPatch, array: bool
) -> None:
    succeed(fit, *QUICK)
    Path("bin").mkdir()
    scontrol = Path("bin/scontrol")
    # SLURM ends a job that is requeued
    scontrol.write_text('#!/bin/sh\necho "$@" >> scontrol.log\nkill -TERM $PPID\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent.absolute()}{os.pathsep}{os.environ['PATH']}")
    for name, value in {"JOB_ID": "77", "NTASKS": "1", "JOB_NAME": "digits"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    if array:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "70")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    code, _, err = fit(*QUICK, send({15: "SIGUSR1"}))
    job = "70_3" if array else "77"
    assert code == 143, err
    assert f"mnist-lstm: SIGUSR1: saved at step 15, epoch 2; job {job} requeued\n" in err
    assert Path("scontrol.log").read_text() == f"requeue {job}\n"

    # a run of another job is newer, and one of another command in the same job
    succeed(fit, *QUICK, "--trainer.max_epochs=1")
    mine = Path(RUNS / "version_1/slurm_job").read_text()
    Path(RUNS / "version_2/slurm_job").write_text(mine.replace(job, "78", 1))
    succeed(fit, *QUICK, "--trainer.max_epochs=1")
    Path(RUNS / "version_3/slurm_job").write_text(f"{job}\nfit --seed_everything 1\n")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    _, err = succeed(fit, *QUICK)
    assert f"checkpoint  {RUNS}/version_1/checkpoints/last.ckpt\n" in err
    assert_same(load(0), load(4))

    # requeued once more, when nothing is left
    Path(RUNS / "version_2/slurm_job").unlink()
    Path(RUNS / "version_3/slurm_job").unlink()
    _, err = succeed(fit, *QUICK)
    last = f"{RUNS}/version_4/checkpoints/last.ckpt"
    assert f"mnist-lstm: nothing is left to train: {last}: has been trained" in err
    assert f"; to test it: mnist-lstm test --ckpt_path {last}\n" in err
    assert not Path(RUNS / "version_5").exists()


def test_a_job_that_cannot_be_requeued_goes_on(fit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PATH", "")
    _, err = succeed(fit, *QUICK, send({5: "SIGUSR1"}))
    assert "job 77 could not be requeued: " in err


class SendInTest(Callback):
    """Send SIGTERM in the test."""

    def on_test_batch_end(self, trainer, pl_module, *args) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class LongStep(Callback):
    """A step that takes a minute."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx: int) -> None:
        if trainer.global_step == 2:
            Path("in a step").touch()
            end = time.monotonic() + 60
            while time.monotonic() < end:
                time.sleep(0.1)
