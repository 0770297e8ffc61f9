"""What a sweep shows and leaves: rows of trials, the best options, figures."""

import csv
import io
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import yaml
from matplotlib.figure import Figure
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import scratch_folder, write
from mnist_lstm.sweep.figures import draw_history, draw_importances
from mnist_lstm.sweep.plan import ERROR, JOB, RUN, SCORES, WORKER
from mnist_lstm.sweep.space import Options, Space, suggest

KILLED = "its worker was killed"

DEFAULT = "default"
"""The recipe without the options of a trial."""


def options_of(space: Space, trial: FrozenTrial) -> Options:
    """Return the options of a trial; none if its worker was killed before all were chosen."""
    try:
        return suggest(space, FixedTrial(trial.params))  # type: ignore[arg-type]
    except ValueError:
        return {}


def line_of(space: Space, trial: FrozenTrial) -> str:
    """Describe a trial that has ended in one line."""
    job = trial.user_attrs.get(JOB)
    options = f"{job[0]}, seed {job[1]}" if job else _text(options_of(space, trial))
    return f"trial {trial.number:>3}  {trial.state.name.lower():<8}  {_value(trial):<8}  {options}"


def print_table(space: Space, trials: Sequence[FrozenTrial], study: optuna.Study, metric: str) -> None:
    """Print all trials, the best first."""
    table = Table(title=printable(f"study {study.study_name}"))
    for name in ("trial", "state", metric, "options"):
        table.add_column(name, justify="right" if name in ("trial", metric) else "left", overflow="fold")
    for trial in ranked(trials, study):
        error = trial.user_attrs.get(ERROR) or KILLED if trial.state == TrialState.FAIL else ""
        shown = _text(options_of(space, trial)) + (f"\n{printable(error)}" if error else "")
        table.add_row(str(trial.number), trial.state.name.lower(), _value(trial), shown)
    Console().print(table)


def ranked(trials: Sequence[FrozenTrial], study: optuna.Study) -> list[FrozenTrial]:
    """Return trials with the complete ones first, the best of them first."""
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    return sorted(
        trials,
        key=lambda t: (t.state != TrialState.COMPLETE, t.state != TrialState.PRUNED, sign * (t.value or 0), t.number),
    )


def best_of(trials: Sequence[FrozenTrial], study: optuna.Study) -> FrozenTrial | None:
    """Return the best complete trial, or None."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return ranked(complete, study)[0] if complete else None


def compare_seeds(trials: Sequence[FrozenTrial], recipes: Sequence[str], metric: str) -> list[str]:
    """Return a line for each recipe with median and range of its seeds, and one that says what they show."""
    lines, found = [], {}
    for recipe in recipes:
        own = [t for t in trials if t.user_attrs[JOB][0] == recipe]
        values = [trial.value for trial in own if trial.value is not None]
        if values:
            found[recipe] = values
            spread = f"median {median(values):.4f} ({min(values):.4f} to {max(values):.4f})"
            lines.append(f"{recipe:<12}{metric} {spread}, {len(values)} of {len(own)} seeds")
        else:
            lines.append(f"{recipe:<12}none of {len(own)} seeds came to its end")
    if len(found) == 2:
        sign = 1 if metric.endswith("loss") else -1
        best, default = ([sign * value for value in values] for values in found.values())
        if median(best) >= median(default):
            lines.append("the best options are no better than the default with other seeds")
        elif max(best) < min(default):
            lines.append("every seed with the best options is better than every one with the default")
        else:
            lines.append("the best options have the better median; the ranges overlap")
    return lines


def make_folder(folder: Path) -> Path:
    """Make a folder, unless it is there; InputError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror or error})") from error
    return folder


def _write_figure(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    write(path, picture.getvalue())


class Results:
    """Files in a folder.

    Args:
        study: the search.
        space: what was searched.
        trials: that count, of the search.
        seeds: trials with other seeds.
        metric: val/loss or val/acc.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        trials: Sequence[FrozenTrial],
        seeds: Sequence[FrozenTrial],
        metric: str,
    ) -> None:
        self.study, self.space, self.trials, self.seeds, self.metric = study, space, trials, seeds, metric
        self.title = f"study {study.study_name}: {len(trials)} trials"

    def write(self, folder: Path, *, is_own: bool) -> Path:
        """Write everything into a new folder; nothing is overwritten.

        Workers that end at once in the same place have the same results: one writes them, the others find them there.

        Args:
            folder: where to.
            is_own: whether another name may be taken if the folder is there with something else in it.

        Returns:
            The folder.
        """
        table = self._table()
        try:
            make_folder(folder.parent)
            with scratch_folder(folder.parent) as made:
                self._fill(made, table)
                return _settle(made, folder, table, is_own=is_own)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from error

    def _fill(self, folder: Path, table: str) -> None:
        write(folder / TABLE, table.encode())
        best = best_of(self.trials, self.study)
        if best is None:
            return
        write(folder / "best.yaml", self._best_config(best).encode())
        points = {
            state: [(t.number, t.value) for t in self.trials if t.state == state and t.value is not None]
            for state in (TrialState.COMPLETE, TrialState.PRUNED)
        }
        figure = draw_history(points[TrialState.COMPLETE], points[TrialState.PRUNED], self.metric, self.title)
        _write_figure(figure, folder / "history.png")
        importances = self._importances()
        if importances:
            figure = draw_importances(importances, f"{self.title}, importance for {self.metric}")
            _write_figure(figure, folder / "importance.png")

    def _importances(self) -> dict[str, float]:
        """Return Optuna's importances; none if the trials are too few or all alike."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of branches that few trials took
                return optuna.importance.get_param_importances(self.study)
        except (RuntimeError, ValueError):
            return {}

    def _best_config(self, best: FrozenTrial) -> str:
        nested: dict[str, Any] = {}
        for option, value in options_of(self.space, best).items():
            *groups, name = option.split(".")
            place = nested
            for group in groups:
                place = place.setdefault(group, {})
            place[name] = value
        head = (
            f"# {self.title}; trial {best.number} is the best, {self.metric} {_value(best)}. On top of its configs:\n"
        )
        return f"{head}# mnist-lstm fit --config ... --config best.yaml\n{yaml.safe_dump(nested)}"

    def _table(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("trial", "seed", "state", "val/loss", "val/acc", "options", "error", "worker", "run"))
        for trial in (*self.trials, *self.seeds):
            scores, kept = trial.user_attrs.get(SCORES, {}), trial.user_attrs
            recipe, seed = kept.get(JOB) or (trial.number, "")
            options = json.dumps(options_of(self.space, trial)) if JOB not in kept else ""
            state, values = trial.state.name.lower(), (scores.get("val/loss", ""), scores.get("val/acc", ""))
            others = (kept.get(ERROR, ""), kept.get(WORKER, ""), kept.get(RUN, ""))
            writer.writerow((recipe, seed, state, *values, options, *others))
        return file.getvalue()


TABLE = "trials.csv"


def _settle(made: Path, folder: Path, table: str, *, is_own: bool) -> Path:
    number = 0
    while True:
        place = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        try:
            os.rename(made, place)  # noqa: PTH104 - fails where there is a folder with files; Path.replace says the same
            return place
        except OSError:
            if not place.is_dir():
                raise
        if (place / TABLE).is_file() and (place / TABLE).read_text(encoding="utf-8") == table:
            return place
        if not is_own:
            raise InputError(f"--output {folder}: is not empty; name a new folder")
        number += 1


def _value(trial: FrozenTrial) -> str:
    return "" if trial.value is None else f"{trial.value:.4f}"


def _text(options: Options) -> str:
    return "  ".join(
        f"{name} {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in options.items()
    )
