"""Which trials count, and who may train: the rules by which any number of workers do N trials and no more.

Optuna gives each trial of a study a number of its own, one after another, under a lock of the storage. So all workers
agree on which trials came before a given one, and each can decide alone whether its own is one too many.

A trial **counts** unless it is surplus (made in the same moment as others, and not trained) or has been retried: then
its retry counts. What counts never becomes more behind a trial's back: of the trials with lower numbers, those that
count only ever get fewer. So a trial that finds N or more of them before it must not train, and then no more than N
trials that count are ever trained to their end.
"""

import re
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

SURPLUS, ERROR, WORKER, RUN, SCORES, JOB = "surplus", "error", "worker", "run", "scores", "job"
"""Names of what is stored with a trial: one too many; what went wrong; who runs it, once it runs; where the run is; its
best loss and accuracy; of a run with a seed, which one it is."""

RETRIES = "retry_history"
"""Optuna's name for the numbers of the trials that a trial retries."""

MAX_ALIKE = 3
"""Failures in a row from the start, with the same error, that end a sweep."""


def counting(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count, by number."""
    retried = {number for trial in trials for number in trial.system_attrs.get(RETRIES, ())}
    counted = (t for t in trials if t.number not in retried and not t.user_attrs.get(SURPLUS))
    return sorted(counted, key=lambda trial: trial.number)


def failed_alike(trials: Sequence[FrozenTrial]) -> str | None:
    """Return the error of the first trials that count, if all of them have failed with the same."""
    errors = [t.user_attrs.get(ERROR) if t.state == TrialState.FAIL else None for t in trials[:MAX_ALIKE]]
    alike = {None if error is None else re.sub(r"\d[\d.e+-]*", "#", error) for error in errors}
    return errors[0] if len(errors) == MAX_ALIKE and len(alike) == 1 else None


class Search:
    """``trials`` trials with options that Optuna chooses."""

    def __init__(self, trials: int) -> None:
        self.trials = trials

    def may_train(self, counted: Sequence[FrozenTrial], number: int) -> bool:
        """Return whether the trial of this number is one of those wanted."""
        return number in [trial.number for trial in counted[: self.trials]]

    def is_done(self, counted: Sequence[FrozenTrial]) -> bool:
        """Return whether all trials have ended."""
        return sum(trial.state.is_finished() for trial in counted) >= self.trials

    def has_work(self, counted: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial can start now."""
        waits = any(trial.state == TrialState.WAITING for trial in counted[: self.trials])
        return waits or len(counted) < self.trials


class Jobs:
    """Each of the ``jobs`` once; what is stored with a trial names its job."""

    def __init__(self, jobs: Sequence[Any]) -> None:
        self.jobs = list(jobs)

    def may_train(self, counted: Sequence[FrozenTrial], number: int) -> bool:
        """Return whether the trial of this number is the first with its job."""
        return number in [trial.number for trial in self.trials(counted)]

    def is_done(self, counted: Sequence[FrozenTrial]) -> bool:
        """Return whether all jobs have ended."""
        return sum(trial.state.is_finished() for trial in self.trials(counted)) == len(self.jobs)

    def has_work(self, counted: Sequence[FrozenTrial]) -> bool:
        """Return whether a trial can start now."""
        return any(trial.state == TrialState.WAITING for trial in self.trials(counted))

    def missing(self, counted: Sequence[FrozenTrial]) -> list[Any]:
        """Return the jobs without a trial."""
        taken = [trial.user_attrs.get(JOB) for trial in counted]
        return [job for job in self.jobs if job not in taken]

    def trials(self, counted: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the first trial of each job that has one."""
        first: list[FrozenTrial] = []
        for job in self.jobs:
            first += [trial for trial in counted if trial.user_attrs.get(JOB) == job][:1]
        return first


Plan = Search | Jobs
