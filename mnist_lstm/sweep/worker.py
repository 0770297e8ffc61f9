"""A worker: take a trial, train, report, until all are done. Workers meet only in the database."""

import math
import os
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_lstm.errors import InputError, Stopped, TrainingError
from mnist_lstm.sweep import plan, study
from mnist_lstm.sweep.trial import run_trial

POLL_S = 2.0
"""Seconds between two looks at the trials of others."""

BETTER = {"val/loss": min, "val/acc": max}

MAX_ERROR = 500
"""Characters of an error that are stored."""


class Surplus(Exception):  # noqa: N818
    """This trial is one too many."""


class Worker:
    """Works on studies.

    Args:
        storage: where they are.
        args: arguments of `fit` that all trials share.
        metric: val/loss or val/acc.
        grace: seconds without a sign of life after which a worker counts as killed.
        deadline: time, by `time.monotonic`, after which no trial is started.
        on_end: called with each trial that has ended, of any worker.
    """

    def __init__(
        self,
        storage: RDBStorage,
        args: list[str],
        metric: str,
        grace: int,
        deadline: float,
        on_end: Callable[[FrozenTrial], None],
    ) -> None:
        self.storage, self.args, self.metric, self.grace, self.deadline = storage, args, metric, grace, deadline
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._on_end = on_end
        self._taken: list[int] = []  # number of the trial that it has
        self._since: dict[int, float] = {}  # when a trial was first seen that nobody has said to train

    def work(
        self,
        on: optuna.Study,
        todo: plan.Plan,
        arguments_of: Callable[[optuna.Trial], list[str]],
        *,
        prunes: bool = False,
    ) -> bool:
        """Train until all of a plan is done; return False if the time was up before.

        Args:
            on: the study.
            todo: what is to be done.
            arguments_of: arguments of `fit` for a trial.
            prunes: whether Optuna may end trials early.

        Raises:
            TrainingError: the first trials failed with the same error.
            KeyboardInterrupt, Stopped: the worker was asked to end; its trial is in the queue again.
        """

        def objective(trial: optuna.Trial) -> float:
            self._taken = [trial.number]
            try:
                if not todo.may_train(plan.counting(on.get_trials(deepcopy=False)), trial.number):
                    trial.set_user_attr(plan.SURPLUS, True)
                    raise Surplus
                # `_look_after` relies on it: the thread that Optuna leaves this to may come too late
                self._give_sign_of_life(on, trial.number)
                trial.set_user_attr(plan.WORKER, self.name)
                return self._train(trial, arguments_of(trial), prunes=prunes)
            except SystemExit as stop:  # of a signal, or of Lightning; Optuna knows another interruption
                raise KeyboardInterrupt from stop

        shown = {trial.number for trial in on.get_trials(deepcopy=False) if trial.state.is_finished()}
        while True:
            counted = plan.counting(on.get_trials(deepcopy=False))
            for trial in counted:
                if trial.state.is_finished() and trial.number not in shown:
                    shown.add(trial.number)
                    self._on_end(trial)
            error = plan.failed_alike(counted)
            if error is not None:
                raise TrainingError(f"the first {plan.MAX_ALIKE} trials failed alike: {error}")
            if todo.is_done(counted):
                return True
            if time.monotonic() >= self.deadline:
                return False
            if todo.has_work(counted):
                self._run_one(on, objective)
            else:
                self._look_after(on, counted)
                time.sleep(POLL_S)

    def _run_one(self, on: optuna.Study, objective: Callable[[optuna.Trial], float]) -> None:
        self._taken = []
        try:
            on.optimize(objective, n_trials=1, catch=(Exception,), gc_after_trial=True)
        except (KeyboardInterrupt, Stopped):
            for number in self._taken:
                study.retry_interrupted(on, number)
            raise
        except (UpdateFinishedTrialError, ValueError):
            # Optuna's errors where a trial that is to be ended has ended
            if not any(on.trials[number].state.is_finished() for number in self._taken):
                raise
            print(f"trial {self._taken[0]}: others heard nothing of this worker for {self.grace} s, and have taken it")

    def _train(self, trial: optuna.Trial, args: Sequence[str], *, prunes: bool) -> float:
        scores: dict[str, float] = {}
        validations = 0
        is_pruned = False

        def on_validation(metrics: dict[str, float]) -> bool:
            nonlocal validations, is_pruned
            if not math.isfinite(metrics["val/loss"]):
                raise TrainingError(f"the validation loss became {metrics['val/loss']}")
            for name, value in metrics.items():
                scores[name] = BETTER[name](scores.get(name, value), value)
            trial.report(metrics[self.metric], validations)
            validations += 1
            is_pruned = prunes and trial.should_prune()
            return is_pruned

        def on_start(folder: Path) -> None:
            trial.set_user_attr(plan.RUN, str(folder.absolute()))

        try:
            run_trial([*self.args, *args], on_start, on_validation)
        except UpdateFinishedTrialError:
            raise
        except Exception as error:
            text = str(error) if isinstance(error, InputError | TrainingError) else f"{type(error).__name__}: {error}"
            trial.set_user_attr(plan.ERROR, text[:MAX_ERROR])
            raise
        if not scores:
            trial.set_user_attr(plan.ERROR, "no validation took place")
            raise TrainingError("no validation took place")
        trial.set_user_attr(plan.SCORES, scores)
        if is_pruned:
            raise optuna.TrialPruned
        return scores[self.metric]

    def _look_after(self, on: optuna.Study, counted: Sequence[FrozenTrial]) -> None:
        """Let trials be retried whose worker gives no sign of life.

        Optuna passes over those that have never had one, because their worker was killed in the moment when it took
        them: they are given a first one here.
        """
        for trial in counted:
            if trial.state == TrialState.RUNNING and plan.WORKER not in trial.user_attrs:
                now = time.monotonic()
                if now - self._since.setdefault(trial.number, now) > self.grace:
                    self._give_sign_of_life(on, trial.number)
                    self._since[trial.number] = math.inf  # another one would keep it alive
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(on)

    def _give_sign_of_life(self, on: optuna.Study, number: int) -> None:
        study_id = self.storage.get_study_id_from_name(on.study_name)
        self.storage.record_heartbeat(self.storage.get_trial_id_from_study_id_trial_number(study_id, number))
