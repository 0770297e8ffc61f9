"""One worker's part in a sweep: search, then several seeds of what was found, then the results."""

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from mnist_lstm.console import printable
from mnist_lstm.sweep import plan, results
from mnist_lstm.sweep.options import FitOptions, arguments
from mnist_lstm.sweep.space import Options, Space, describe, suggest
from mnist_lstm.sweep.storage import open_storage, reachable, shown, sqlite_url
from mnist_lstm.sweep.study import join
from mnist_lstm.sweep.worker import Worker
from mnist_lstm.training.trust import restrict_configs

SWEEPS = Path("sweeps")

STARTUP_TRIALS = 5
"""Complete trials before any is pruned; Optuna's default."""


class Sweep:
    """Options that are checked before anything runs.

    Args:
        own: options of ``sweep``.
        of_fit: arguments of `fit` that all trials share.
        space: what is searched.
        file: where the space stands.
        name: of the study.
        url: address of the database; None: an SQLite file.
    """

    def __init__(
        self, own: argparse.Namespace, of_fit: list[str], space: Space, file: Path, name: str, url: str | None
    ) -> None:
        self.own, self.space, self.name, self.url = own, space, name, url
        self.metric = f"val/{own.metric}"
        self.fit = FitOptions(restrict_configs(["fit", *of_fit])[1:])
        self.fit.check_space(space, file, self.metric)
        if url is not None:
            shown(url)  # an error before anything runs

    def run(self) -> None:
        """Work until all trials and seeds are done, or the time is up; then print and write what came out."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        deadline = time.monotonic() + (self.own.timeout or math.inf)
        url = self.url or sqlite_url(results.make_folder(SWEEPS / self.name) / "study.db")
        with reachable(url):
            storage = open_storage(url, self.own.grace)
            study = self._join(storage, self.name)
            worker = Worker(storage, self.fit.args, self.metric, self.own.grace, deadline, self._say)
            ended = sum(trial.state.is_finished() for trial in plan.counting(study.get_trials(deepcopy=False)))
            print(f"study       {self.name}, {ended} of {self.own.trials} trials done")
            print(f"storage     {printable(shown(url))}")
            print(f"worker      {worker.name}", flush=True)
            is_done = worker.work(
                study,
                plan.Search(self.own.trials),
                lambda trial: arguments(suggest(self.space, trial)),
                prunes=self.own.pruning != "off",
            )
            trials = plan.counting(study.get_trials(deepcopy=False))
            best = results.best_of(trials, study)
            seeds: list[FrozenTrial] = []
            if is_done and best is not None and self.own.seeds:
                recipes = [f"trial {best.number}", results.DEFAULT]
                print(f"\nseeds       {self.own.seeds} of {recipes[0]}, and of the default", flush=True)
                seeds, is_done = self._train_seeds(worker, storage, recipes, results.options_of(self.space, best))
            self._finish(study, trials, seeds, is_done=is_done)

    def _join(self, storage: optuna.storages.BaseStorage, name: str) -> optuna.Study:
        epochs = self.fit.max_epochs or 0
        return join(
            storage,
            name,
            "minimize" if self.own.metric == "loss" else "maximize",
            {"space": describe(self.space), "options of fit": self.fit.recipe(), "option": {"metric": self.metric}},
            sampler=optuna.samplers.TPESampler(),
            # in the first third of a run the learning rate of the default schedule still rises
            pruner=optuna.pruners.MedianPruner(STARTUP_TRIALS, n_warmup_steps=max(1, epochs // 3)),
        )

    def _train_seeds(
        self, worker: Worker, storage: optuna.storages.BaseStorage, recipes: Sequence[str], best: Options
    ) -> tuple[list[FrozenTrial], bool]:
        """Train the best options and the default with other seeds than that of the search, none of them pruned."""
        study = self._join(storage, f"{self.name}.seeds")
        numbers = [self.fit.seed + index for index in range(1, self.own.seeds + 1)]
        jobs = plan.Jobs([[recipe, number] for number in numbers for recipe in recipes])
        for job in jobs.missing(plan.counting(study.get_trials(deepcopy=False))):
            study.enqueue_trial({}, user_attrs={plan.JOB: job})

        def arguments_of(trial: optuna.Trial) -> list[str]:
            recipe, number = trial.user_attrs[plan.JOB]
            return [*(arguments(best) if recipe != results.DEFAULT else []), f"--seed_everything={number}"]

        is_done = worker.work(study, jobs, arguments_of)
        return jobs.trials(plan.counting(study.get_trials(deepcopy=False))), is_done

    def _finish(
        self, study: optuna.Study, trials: Sequence[FrozenTrial], seeds: Sequence[FrozenTrial], *, is_done: bool
    ) -> None:
        print()
        results.print_table(self.space, trials, study, self.metric)
        best = results.best_of(trials, study)
        if seeds and best is not None:
            seeds = [trial for trial in seeds if trial.state.is_finished()]
            print(*results.compare_seeds(seeds, [f"trial {best.number}", results.DEFAULT], self.metric), sep="\n")
        ended = [trial for trial in trials if trial.state.is_finished()]
        name = f"{len(ended)}-trials" + (f"-{self.own.seeds}-seeds" if seeds else "")
        folder = Path(self.own.output).expanduser() if self.own.output else SWEEPS / self.name / name
        folder = results.Results(study, self.space, ended, seeds, self.metric).write(folder, is_own=not self.own.output)
        if best is None:
            print("no trial came to its end")
        else:
            print(f"best        {printable(str(folder / 'best.yaml'))}")
        print(f"results     {printable(str(folder))}")
        if not is_done:
            print("time is up; the same command goes on")

    def _say(self, trial: FrozenTrial) -> None:
        print(printable(results.line_of(self.space, trial)), flush=True)
