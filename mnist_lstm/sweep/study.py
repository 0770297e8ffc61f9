"""A study of Optuna: join it, or refuse it if it is of another sweep; put a trial back into its queue."""

import json
import time
from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.trial import FrozenTrial, TrialState

from mnist_lstm.errors import InputError
from mnist_lstm.sweep.plan import JOB, RETRIES

FACTS = "sweep"
"""Name under which a study keeps what all its workers must agree on."""

KILLS = "kills"

MAX_KILLS = 2
"""How many workers a trial may lose: one that always kills its worker must come to an end."""

WAIT_S = 10.0
"""Seconds that whoever makes a study may take to store its facts."""


def join(
    storage: optuna.storages.BaseStorage,
    name: str,
    direction: Literal["minimize", "maximize"],
    facts: Mapping[str, Any],
    **options: Any,
) -> optuna.Study:
    """Make a study, or load the one of this name.

    Args:
        storage: where it is.
        name: of the study.
        direction: minimize or maximize.
        facts: what all workers must agree on, as plain data.
        options: sampler and pruner.

    Raises:
        InputError: the study that is there has other facts.
    """
    wanted = json.loads(json.dumps(facts))
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=direction, **options)
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=name, **options)
        found = _wait_for_facts(study)
        if found is not None:
            _compare(found, wanted, name)
            return study
        if study.get_trials(deepcopy=False):
            raise InputError(f"--study {name}: is there already, and not of mnist-lstm sweep; name another") from None
    study.set_user_attr(FACTS, wanted)
    return study


def retry(study: optuna.Study, trial: FrozenTrial, *, kills: int) -> None:
    """Queue a trial again that has not been finished, with the same options; it has lost ``kills`` workers so far."""
    history = [*trial.system_attrs.get(RETRIES, ()), trial.number]
    kept = {name: value for name, value in trial.user_attrs.items() if name == JOB}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept | {KILLS: kills},
            system_attrs={RETRIES: history, "failed_trial": history[0]},  # as Optuna's own retry does
        )
    )


def retry_killed(study: optuna.Study, trial: FrozenTrial) -> None:
    """Queue a trial again whose worker gives no sign of life; Optuna calls this, for each such trial once."""
    kills = trial.user_attrs.get(KILLS, 0) + 1
    if kills <= MAX_KILLS:
        retry(study, trial, kills=kills)


def retry_interrupted(study: optuna.Study, number: int) -> None:
    """Queue a trial again whose worker has been asked to end, unless it could be finished."""
    trial = study.trials[number]
    if trial.state == TrialState.FAIL:
        retry(study, trial, kills=trial.user_attrs.get(KILLS, 0))


def _wait_for_facts(study: optuna.Study) -> dict[str, Any] | None:
    end = time.monotonic() + WAIT_S
    while True:
        facts: dict[str, Any] | None = study.user_attrs.get(FACTS)
        # there are no trials before there are facts
        if facts is not None or time.monotonic() > end or study.get_trials(deepcopy=False):
            return facts
        time.sleep(0.2)


def _compare(found: Mapping[str, Any], wanted: Mapping[str, Any], name: str) -> None:
    for group in sorted(wanted.keys() | found.keys()):
        old, new = found.get(group, {}), wanted.get(group, {})
        for option in sorted(old.keys() | new.keys()):
            if old.get(option) != new.get(option):
                raise InputError(
                    f"--study {name}: was started with another {group}: {option} {json.dumps(old.get(option))}, not "
                    f"{json.dumps(new.get(option))}; give what it was started with, or another --study"
                )
