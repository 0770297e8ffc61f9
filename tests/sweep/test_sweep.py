"""The command: what is refused, what a sweep leaves, that it goes on, and that it never looks at the test set."""

import csv
import os
import signal
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from conftest import Command, fail, fit_args, succeed
from optuna.storages._heartbeat import HeartbeatThread
from optuna.trial import TrialState

from mnist_lstm.data import datasets
from mnist_lstm.errors import TrainingError
from mnist_lstm.sweep import results, worker
from mnist_lstm.sweep.plan import ERROR, RUN, WORKER, Search, counting
from mnist_lstm.sweep.study import retry_killed
from mnist_lstm.training.module import DigitClassifier

SPACE = """
model.learning_rate: {log_uniform: [0.001, 0.03]}
model.optimizer:
  choice:
    adam:
    adamw:
      model.weight_decay: {uniform: [0, 0.1]}
"""


@pytest.fixture
def sweep(command: Command, archives: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``mnist-lstm sweep space.yaml ARGS`` on the tiny MNIST, without TensorBoard; a look at the test set fails."""
    load = datasets.load_split

    def load_split(name: Any, split: str, *args: Any, **kwargs: Any) -> Any:
        assert split != "test", "a sweep has looked at the test set"
        return load(name, split, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(datasets, "load_split", load_split)
    Path("space.yaml").write_text(SPACE)
    of_fit = [str(arg) for arg in fit_args(archives, "--trainer.logger=false")[1:]]
    return lambda *args: command("sweep", "space.yaml", *of_fit, *args)


def study_of(name: str = "space") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///sweeps/{name.removesuffix('.seeds')}/study.db")


def fake_training(monkeypatch: pytest.MonkeyPatch, losses: dict[int, Any]) -> list[list[str]]:
    """Replace the runs of `fit` by losses, errors and functions to call, by run; returns the runs' arguments."""
    calls: list[list[str]] = []

    def run_trial(args: list[str], on_start: Any, on_validation: Any) -> None:
        calls.append(args)
        loss = losses.get(len(calls), 0.5)
        if isinstance(loss, BaseException):
            raise loss
        if callable(loss):
            loss = loss()
        for step in range(3):
            if on_validation({"val/loss": loss + 1 - step / 2, "val/acc": 0.5}):
                return

    monkeypatch.setattr(worker, "run_trial", run_trial)
    # 0.3 s after each trial, and there is nothing to free; 0.4 s for figures, which runs that are not replaced draw
    monkeypatch.setattr("gc.collect", lambda: 0)
    monkeypatch.setattr(results, "_write_figure", lambda *args: None)
    return calls


def test_a_sweep_leaves_the_best_options_for_fit_and_goes_on(sweep: Command, fit: Command) -> None:
    out, err = succeed(sweep, "--trials=2", "--seeds=1")
    assert "0 of 2 trials done" in out
    assert "Seed set" not in err
    folder = Path("sweeps/space/2-trials-1-seeds")
    assert {path.name for path in folder.iterdir()} >= {"best.yaml", "trials.csv", "history.png"}
    best = study_of().best_trial
    found = yaml.safe_load((folder / "best.yaml").read_text())
    assert found["model"]["learning_rate"] == best.params["model.learning_rate"]
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["", "", "1", "1"]
    assert len({row["run"] for row in rows}) == 4
    config = yaml.safe_load(Path(best.user_attrs[RUN], "config.yaml").read_text())
    assert config["test_after_fit"] is False
    assert config["model"]["learning_rate"] == best.params["model.learning_rate"]
    assert config["seed_everything"] == 0
    assert "epoch 2/2" in Path(best.user_attrs[RUN], "fit.txt").read_text()

    before = {path: path.read_bytes() for path in folder.iterdir()}
    out, _ = succeed(sweep, "--trials=2", "--seeds=1")
    assert "2 of 2 trials done" in out
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.glob("*-trials*")] == [folder.name]
    succeed(sweep, "--trials=3", "--seeds=0")
    assert len(counting(study_of().trials)) == 3
    # fit takes the best options, as a config on top of others
    assert fit("--config", folder / "best.yaml", "--trainer.fast_dev_run=1", "--trainer.logger=false")[0] == 0
    assert DigitClassifier(hidden_size=8, **found["model"])


def test_a_run_is_trained_with_the_options_of_its_trial(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_training(monkeypatch, {1: 0.9, 2: 0.2, 3: 0.6})
    out, _ = succeed(sweep, "--trials=3", "--seeds=2")
    first = study_of().trials[0].params
    assert f"--model.learning_rate={first['model.learning_rate']}" in calls[0]
    assert len(calls) == 3 + 4
    assert [call[-1] for call in calls[3:]] == [f"--seed_everything={seed}" for seed in (1, 1, 2, 2)]
    assert "trial 1     val/loss median 0.5000 (0.5000 to 0.5000), 2 of 2 seeds" in out
    assert "the best options are no better than the default" in out


def test_accuracy_is_judged_on_demand(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {})
    succeed(sweep, "--trials=1", "--seeds=0", "--metric=acc")
    assert study_of().direction == optuna.study.StudyDirection.MAXIMIZE
    assert study_of().best_value == 0.5


def test_poor_trials_are_pruned(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {6: 5.0})
    succeed(sweep, "--trials=6", "--seeds=0")
    assert [trial.state for trial in study_of().trials] == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED]


def test_failures_are_recorded_and_the_sweep_goes_on(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {1: TrainingError("the loss became nan at step 7"), 2: MemoryError("none left")})
    out, _ = succeed(sweep, "--trials=4", "--seeds=0")
    states = [trial.state for trial in study_of().trials]
    assert states == [TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert study_of().trials[1].user_attrs[ERROR] == "MemoryError: none left"
    assert "the loss became nan at step 7" in " ".join(out.split())


def test_a_validation_loss_of_nan_is_a_failure(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {2: float("nan")})
    succeed(sweep, "--trials=3", "--seeds=0")
    assert study_of().trials[1].user_attrs[ERROR] == "the validation loss became nan"


def test_three_failures_alike_from_the_start_end_it(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {n: TrainingError(f"the loss became nan at step {n}") for n in (1, 2, 3)})
    code, _, err = sweep("--trials=9", "--seeds=0")
    assert code == 1
    assert "error: the first 3 trials failed alike: the loss became nan at step 1" in err
    assert len(study_of().trials) == 3


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_worker_that_is_asked_to_end_gives_its_trial_back(
    number: int, code: int, sweep: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_train_start(*_: Any) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(DigitClassifier, "on_train_start", on_train_start)
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:  # as in the background of a shell
        pytest.skip("this process ignores it")
    ended, _, err = sweep("--trials=1", "--seeds=0")
    assert ended == code
    assert signal.getsignal(number) == before
    assert f"ended by {signal.Signals(number).name}; the same command goes on" in err
    first, second = study_of().trials
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.WAITING)
    assert second.params == first.params
    fake_training(monkeypatch, {})
    succeed(sweep, "--trials=1", "--seeds=0")
    assert [trial.state for trial in study_of().trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_signal_before_a_trial_trains_gives_it_back(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {})
    monkeypatch.setattr(Search, "may_train", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert sweep("--trials=1", "--seeds=0")[0] == 143
    assert [trial.state for trial in study_of().trials] == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_that_others_have_taken_is_dropped(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> float:
        study = study_of()  # of a worker that has heard nothing of this one
        study.tell(0, state=TrialState.FAIL)
        retry_killed(study, study.trials[0])
        return 0.1

    fake_training(monkeypatch, {1: lose})
    out, _ = succeed(sweep, "--trials=2", "--seeds=0", "--grace=77")
    assert "trial 0: others heard nothing of this worker for 77 s, and have taken it" in out
    assert [trial.state.name for trial in study_of().trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study_of().trials[1].params == study_of().trials[0].params
    assert study_of().best_value == 0.5


def test_a_trial_whose_worker_never_gave_a_sign_of_life_is_retried(
    sweep: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_training(monkeypatch, {})
    monkeypatch.setattr(worker, "POLL_S", 0.2)
    succeed(sweep, "--trials=1", "--seeds=0")
    study_of().ask()  # and is killed
    succeed(sweep, "--trials=2", "--seeds=0", "--grace=1")
    assert [trial.state.name for trial in study_of().trials] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_trial_whose_worker_dies_as_soon_as_it_has_said_that_it_trains_is_retried(
    sweep: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Passes through Optuna as a kill does: nothing is stored."""

    fake_training(monkeypatch, {1: Killed()})
    monkeypatch.setattr(worker, "POLL_S", 0.2)
    with monkeypatch.context() as patch:
        # Optuna's thread had no time for a first sign of life
        patch.setattr(HeartbeatThread, "__enter__", lambda *_: None)
        patch.setattr(HeartbeatThread, "__exit__", lambda *_: None)
        with pytest.raises(Killed):
            sweep("--trials=2", "--seeds=0")
    assert WORKER in study_of().trials[0].user_attrs
    succeed(sweep, "--trials=2", "--seeds=0", "--grace=1", "--timeout=20")
    assert [trial.state.name for trial in study_of().trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_results_are_not_overwritten(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {2: 0.4})
    succeed(sweep, "--trials=1", "--seeds=0")
    Path("sweeps/space/study.db").unlink()  # begin again, under the same name
    out, _ = succeed(sweep, "--trials=1", "--seeds=0")
    assert "results     sweeps/space/1-trials-1" in out
    assert not list(Path("sweeps/space").glob(".results*"))
    succeed(sweep, "--trials=1", "--seeds=0", "--output=mine")
    assert Path("mine/best.yaml").is_file()
    assert "--output mine: is not empty" in fail(sweep, "--trials=1", "--seeds=0", "--output=mine")


def test_no_trial_starts_after_the_time(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 11.0, 12.0])
    fake_training(monkeypatch, {})
    monkeypatch.setattr("mnist_lstm.sweep.sweep.time.monotonic", lambda: next(clock))
    out, _ = succeed(sweep, "--trials=5", "--seeds=1", "--timeout=10")
    assert "time is up; the same command goes on" in out
    assert len(study_of().trials) == 1
    assert Path("sweeps/space/1-trials/best.yaml").is_file()


def test_another_space_or_config_is_refused(sweep: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_training(monkeypatch, {})
    succeed(sweep, "--trials=1", "--seeds=0")
    err = fail(sweep, "--trials=2", "--data.batch_size=32")
    assert "--study space: was started with another options of fit: data.batch_size 64, not 32" in err
    assert "metric" in fail(sweep, "--trials=2", "--metric=acc")
    Path("space.yaml").write_text(SPACE.replace("0.03", "0.02"))
    assert "was started with another space: model.learning_rate" in fail(sweep, "--trials=2")
    Path("space.yaml").write_text(SPACE)
    succeed(sweep, "--trials=2", "--seeds=0", "--data.num_workers=0", "--trainer.default_root_dir=elsewhere")


@pytest.mark.parametrize(
    ("space", "args", "message"),
    [
        ("model.learning_rat: {uniform: [0.1, 0.2]}", (), "space.yaml: model.learning_rat: unknown option "
            "--model.learning_rat; did you mean --model.learning_rate?"),
        ("model.learning_rate: {uniform: [0, 0.1]}", (), "space.yaml: model.learning_rate: learning_rate 0.0: must"),
        ("model.schedule: {choice: [one_cycle, zigzag]}", (), "space.yaml: model.schedule: --model.schedule"),
        ("seed_everything: {int: [0, 9]}", (), "space.yaml: seed_everything: cannot be searched: a seed is no recipe"),
        ("test_after_fit: {choice: [true, false]}", (), "a sweep never looks at the test set"),
        ("data.val_size: {int: [10, 20]}", (), "trials would be compared on different images"),
        ("model.label_smoothing: {uniform: [0, 0.1]}", (), "it changes what the loss means; take --metric acc"),
        (SPACE, ("--data.val_size=0",), "--data.val_size 0: a sweep compares by validation images"),
        (SPACE, ("--data.dataset=auto",), "--data.dataset auto: workers could train on different images"),
        (SPACE, ("--model.hiden_size=3",), "unknown option --model.hiden_size; did you mean --model.hidden_size?"),
        (SPACE, ("--storage=nonsense:pass@word",), "--storage: is not the address of a database"),
        (SPACE, ("--study=../other",), "--study ../other: must be letters"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_before_anything_runs(
    space: str, args: tuple[str, ...], message: str, sweep: Command
) -> None:
    Path("space.yaml").write_text(space)
    err = fail(sweep, *args)
    assert message in err
    assert "pass@word" not in err
    assert not Path("sweeps").exists()
    assert not Path("runs").exists()


def test_the_space_comes_first(command: Command) -> None:
    assert "name the search space before --config" in fail(command, "sweep", "--config", "a.yaml", "space.yaml")


def test_what_to_install_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("space.yaml").write_text(SPACE)
    monkeypatch.setitem(sys.modules, "optuna", None)
    err = fail(command, "sweep", "space.yaml")
    assert "sweep needs optuna, which is not installed: pip install 'mnist-lstm[sweep]'" in err
