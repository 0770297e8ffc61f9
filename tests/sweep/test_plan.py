"""The rules by which workers do N trials and no more, in every order of events that is tried."""

import random

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from mnist_lstm.sweep.plan import ERROR, JOB, SURPLUS, Jobs, Search, counting, failed_alike
from mnist_lstm.sweep.study import MAX_KILLS, retry_interrupted, retry_killed

FAIL, RUNNING, COMPLETE = TrialState.FAIL, TrialState.RUNNING, TrialState.COMPLETE


class Workers:
    """Workers that do one thing at a time, in an order drawn at random; some are killed while they train."""

    def __init__(self, study: optuna.Study, todo: Search | Jobs, seed: int, workers: int = 4) -> None:
        self.study, self.todo, self.random = study, todo, random.Random(seed)
        self.holds: list[optuna.Trial | None] = [None] * workers
        self.trains = [False] * workers
        self.wants = [False] * workers  # has looked at the trials, and is about to take one

    def step(self, *, kill: bool) -> None:
        worker = self.random.randrange(len(self.holds))
        trial = self.holds[worker]
        counted = counting(self.study.trials)
        if kill and trial is not None and self.trains[worker]:
            self.study.tell(trial, state=FAIL)  # as Optuna ends it when the grace is over
            retry_killed(self.study, self.study.trials[trial.number])
            self.holds[worker] = None
        elif trial is None and not self.wants[worker]:
            self.wants[worker] = not self.todo.is_done(counted) and self.todo.has_work(counted)
        elif trial is None:
            self.holds[worker], self.wants[worker], self.trains[worker] = self.study.ask(), False, False
        elif not self.trains[worker]:
            self.trains[worker] = self.todo.may_train(counted, trial.number)
            if not self.trains[worker]:
                trial.set_user_attr(SURPLUS, True)
                self.study.tell(trial, state=FAIL)
                self.holds[worker] = None
        else:
            self.study.tell(trial, trial.suggest_float("x", 0, 1))
            self.holds[worker] = None

    def run(self, kills: int) -> list[FrozenTrial]:
        for _ in range(2000):
            counted = counting(self.study.trials)
            if self.todo.is_done(counted) and not any(self.holds):
                break
            kill = kills > 0 and self.random.random() < 0.05
            before = len(self.study.trials)
            self.step(kill=kill)
            kills -= kill and len(self.study.trials) > before
        return counting(self.study.trials)


@pytest.mark.parametrize("seed", range(15))
def test_a_search_is_done_exactly_however_workers_meet_and_die(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    counted = Workers(study, Search(7), seed).run(kills=2)
    assert [trial.state for trial in counted] == [COMPLETE] * 7
    assert sum(trial.state == COMPLETE for trial in study.trials) == 7


@pytest.mark.parametrize("seed", range(10))
def test_each_job_is_done_once_even_if_it_is_queued_twice(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    todo = Jobs([["best", 1], ["best", 2], ["default", 1]])
    for job in [*todo.missing([]), ["best", 2], ["best", 1]]:
        study.enqueue_trial({}, user_attrs={JOB: job})
    Workers(study, todo, seed).run(kills=1)
    done = [trial.user_attrs[JOB] for trial in study.trials if trial.state == COMPLETE]
    assert sorted(done) == sorted(todo.jobs)


def test_a_retry_keeps_its_options_and_gives_up_after_some_kills() -> None:
    study = optuna.create_study()
    values = []
    for _ in range(MAX_KILLS + 1):
        trial = study.ask()
        values.append(trial.suggest_float("x", 0, 1))
        study.tell(trial, state=FAIL)
        retry_killed(study, study.trials[trial.number])
    assert len(study.trials) == MAX_KILLS + 1
    assert len(set(values)) == 1
    assert [trial.number for trial in counting(study.trials)] == [MAX_KILLS]
    assert study.trials[-1].system_attrs["failed_trial"] == 0  # where Optuna and its dashboard look


def test_an_interrupted_trial_loses_no_life() -> None:
    study = optuna.create_study()
    for _ in range(MAX_KILLS + 3):
        trial = study.ask()
        study.tell(trial, state=FAIL)
        retry_interrupted(study, trial.number)
    assert [trial.state for trial in counting(study.trials)] == [TrialState.WAITING]


def failed(*errors: str | None) -> list[FrozenTrial]:
    study = optuna.create_study()
    for error in errors:
        trial = study.ask()
        if error is not None:
            trial.set_user_attr(ERROR, error)
        study.tell(trial, **({"values": 0.0} if error is None else {"state": FAIL}))
    return study.trials


def test_the_same_error_from_the_start_ends_a_sweep() -> None:
    assert failed_alike(failed("nan at step 3", "nan at step 17", "nan at step 1e3")) == "nan at step 3"
    assert failed_alike(failed("nan", "nan")) is None
    assert failed_alike(failed("nan", "out of memory", "nan")) is None
    assert failed_alike(failed("nan", None, "nan", "nan", "nan")) is None
