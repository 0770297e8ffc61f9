"""Workers in processes of their own, some of them killed: no trial is lost, none is done twice.

PostgreSQL: start a server (tests/README.md says how) and name an empty database of it in MNIST_LSTM_POSTGRES.
"""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from conftest import REPOSITORY
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url

from mnist_lstm.sweep.plan import RETRIES, SURPLUS, WORKER, counting
from mnist_lstm.sweep.storage import open_storage, sqlite_url

POSTGRES = os.environ.get("MNIST_LSTM_POSTGRES", "")

SPACE = "model.learning_rate: {log_uniform: [0.001, 0.03]}\nmodel.schedule: {choice: [one_cycle, cosine]}\n"

OPTIONS = (
    *("--data.dataset=digits", "--data.val_size=1200", "--data.batch_size=16", "--model.hidden_size=8"),
    *("--trainer.accelerator=cpu", "--trainer.logger=false", "--trainer.max_epochs=3", "--seeds=0", "--pruning=off"),
)
"""237 images, 15 steps an epoch, no TensorBoard."""


@contextlib.contextmanager
def workers(number: int, *args: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start workers in the present folder; those that are left are killed in the end."""
    Path("space.yaml").write_text(SPACE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "mnist_lstm", "sweep", "space.yaml", *OPTIONS, *args]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        for _ in range(number)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def running(study: optuna.Study, process: subprocess.Popen[str]) -> FrozenTrial | None:
    """Return the trial that a worker trains now."""
    for trial in study.get_trials(deepcopy=False):
        worker = trial.user_attrs.get(WORKER, "")
        if trial.state == TrialState.RUNNING and worker.endswith(f":{process.pid}"):
            return trial
    return None


def kill_in_mid_trial(study: optuna.Study, process: subprocess.Popen[str], after: int = 0) -> int:
    """Stop a worker until it is seen to hold a trial, then kill it with SIGKILL; returns the trial's number.

    Others go on meanwhile; it is left alone until it holds a trial whose number is at least ``after``.
    """
    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        held = running(study, process)
        if held is not None and held.number >= after:
            process.send_signal(signal.SIGSTOP)
            trial = running(study, process)  # nor can it be finished any more
            if trial is not None:
                process.kill()
                return trial.number
            process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
    raise AssertionError(process.communicate(timeout=10)[0])


def check(study: optuna.Study, trials: int, killed: list[int], runs: Path) -> collections.Counter[str]:
    """Check that each trial was finished once, and those of killed workers in another run; return what there is."""
    everything = study.get_trials(deepcopy=False)
    counted = counting(everything)
    assert [trial.state for trial in counted] == [TrialState.COMPLETE] * trials
    assert sum(trial.state == TrialState.COMPLETE for trial in everything) == trials
    retries = {number for trial in counted for number in trial.system_attrs.get(RETRIES, ())}
    assert retries == set(killed)
    for trial in counted:
        for number in trial.system_attrs.get(RETRIES, ()):
            assert everything[number].params.items() <= trial.params.items()
    # each trial was trained in a folder of its own, and nothing else was trained
    assert len(list(runs.glob("version_*/fit.txt"))) == trials
    surplus = [trial for trial in everything if trial.user_attrs.get(SURPLUS)]
    assert len(everything) == trials + len(killed) + len(surplus)
    return collections.Counter(complete=trials, killed=len(killed), surplus=len(surplus))


def load(url: str, name: str) -> optuna.Study:
    """Wait for a study that a worker makes, and load it."""
    storage = open_storage(url, 60)
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with contextlib.suppress(KeyError):
            return optuna.load_study(storage=storage, study_name=name)
        time.sleep(0.2)
    raise AssertionError("no worker has made the study")


def close(study: optuna.Study) -> None:
    """Close the connections of `load`."""
    study._storage.remove_session()
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]


def test_two_workers_with_sqlite_of_which_one_is_killed() -> None:
    url = sqlite_url(Path("study.db"))
    with workers(2, "--trials=6", "--grace=24", f"--storage={url}") as (first, second):
        study = load(url, "space")
        killed = kill_in_mid_trial(study, first)
        output, _ = second.communicate(timeout=300)
        assert second.returncode == 0, output
    check(study, 6, [killed], Path("runs/digits"))
    assert "results     sweeps/space/6-trials" in output
    close(study)


@pytest.mark.slow
@pytest.mark.skipif(not POSTGRES, reason="MNIST_LSTM_POSTGRES names no database")
def test_four_workers_with_postgresql_of_which_two_are_killed() -> None:
    name = f"test-{uuid.uuid4().hex[:8]}"
    start = time.monotonic()
    with workers(4, "--trials=40", "--grace=60", f"--storage={POSTGRES}", f"--study={name}") as started:
        study = load(POSTGRES, name)
        killed = [kill_in_mid_trial(study, started[0], 8), kill_in_mid_trial(study, started[1], 16)]
        outputs = [process.communicate(timeout=3000)[0] for process in started[2:]]
        assert [process.returncode for process in started[2:]] == [0, 0], outputs
    counts = check(study, 40, killed, Path("runs/digits"))
    by_worker = collections.Counter(trial.user_attrs[WORKER] for trial in study.get_trials(deepcopy=False))
    print(f"{dict(counts)} in {time.monotonic() - start:.0f} s; by worker: {sorted(by_worker.values())}")
    assert len(by_worker) == 4
    password = make_url(POSTGRES).password
    assert password is None or password not in "".join(outputs)
    close(study)
