"""Which checkpoint is meant, which of its options count, and whether a run can be resumed from it."""

import argparse
import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, list_runs
from mnist_lstm.network.checkpoint import OTHER_OPTIONS, read_checkpoint
from mnist_lstm.network.options import NetworkOptions, network_part
from mnist_lstm.training.data_module import BATCH_OPTIONS
from mnist_lstm.training.history import read_origin

KEPT = ("last", "best", "previous")
"""Checkpoints that `fit` keeps; ``previous`` is the last before the last."""

OLDER_DATA: dict[str, Any] = {"split": "random"}
"""Options of the data before they existed."""


class CompleteError(InputError):
    """The run has been trained for as long as is asked for."""


class Checkpoint:
    """A checkpoint that a command starts from.

    Args:
        name: a file, or last or best: of the run whose ``config.yaml`` is given, else of the newest run.
        runs: folder of the runs.
        configs: paths of the configs that are given.
        to_resume: if the file of a run is missing or damaged, take the newest whole one of it, and say so.
            Only to continue a training: to test or use another network than the one that was asked for would be wrong.
    """

    def __init__(self, name: str, runs: Path, configs: list[Path], *, to_resume: bool = False) -> None:
        own = [file.parent for file in configs if file.match("version_*/config.yaml")]
        try:
            self.path = _of_run(own[-1], name) if own and name in ("last", "best") else find_checkpoint(name, runs)
            self.content = read_checkpoint(self.path)  # Lightning's checkpoint, under today's names
        except InputError as error:
            found = _newest_whole(_run_of(name, own or list_runs(runs)[:1])) if to_resume else None
            if found is None:
                raise
            self.path, self.content = found
            print(f"mnist-lstm: warning: {printable(str(error))}; taking {printable(str(self.path))}", file=sys.stderr)
        hyper_parameters = self.content["hyper_parameters"]
        network = asdict(NetworkOptions(**network_part(hyper_parameters)))  # with the defaults of missing ones
        training = {name: hyper_parameters[name] for name in OTHER_OPTIONS & hyper_parameters.keys()}
        data: dict[str, Any] = self.content["datamodule_hyper_parameters"]
        unknown = sorted(data.keys() - set(BATCH_OPTIONS))
        if unknown:
            raise InputError(f"{self.path}: has options that this version does not know: {', '.join(unknown)}")
        # what it was made with
        self.options = {"model": network | training, "data": OLDER_DATA | data if data else {}}

    def arguments(self) -> list[str]:
        """Return its options as arguments of the command line."""
        arguments = []
        for group, options in self.options.items():
            for name, value in options.items():
                if not isinstance(value, int | float | str | None):
                    kind = type(value).__name__
                    raise InputError(f"{self.path}: option --{group}.{name} is a {kind}, not a plain value")
                text = value if isinstance(value, str) else json.dumps(value)
                arguments.append(f"--{group}.{name}={text}")
        return arguments

    def describe_options(self, without_checkpoint: Namespace, in_effect: Namespace) -> list[str]:
        """Return lines that say which options come from the checkpoint and which from the command line."""
        kept, given = [], []
        for group, options in self.options.items():
            for name, value in options.items():
                if in_effect[group][name] != value:
                    given.append(f"{group}.{name} {in_effect[group][name]} (was {value})")
                elif without_checkpoint[group][name] != value:
                    kept.append(f"{group}.{name} {value}")
        lines = ["options     of model and data from the checkpoint, of the trainer from configs and command line"]
        lines += [f"checkpoint's  {', '.join(kept)}"] if kept else []
        return lines + ([f"given now   {', '.join(given)}"] if given else [])

    def check_resumable(self, data: Namespace, trainer: Namespace) -> int:
        """Return the steps trained so far; refuse a finished run, other images, and weights without a run's state."""
        try:
            progress = self.content["loops"]["fit_loop"]["epoch_progress"]["current"]
            epochs, is_within_epoch = progress["processed"], progress["ready"] != progress["processed"]
            steps: int = self.content["global_step"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{self.path}: holds weights but not the state of a run; it cannot be resumed") from error
        for name in ("dataset", "val_size", "split", "split_seed"):
            before = self.options["data"].get(name)
            if self.options["data"] and before != data[name]:
                raise InputError(
                    f"{self.path}: was trained with --data.{name} {before} and cannot continue with {data[name]}: "
                    "its best accuracy is of other images; start a new run without --ckpt_path"
                )
        for name in ("batch_size", "other_hands", "no_digits") if is_within_epoch else ():
            before = self.options["data"].get(name)
            if self.options["data"] and before != data[name]:
                raise InputError(
                    f"{self.path}: was saved within an epoch with --data.{name} {before}, and the rest of it cannot be "
                    f"trained with {data[name]}; resume with {before}, or from a checkpoint of an epoch's end"
                )
        for unit, done, maximum in (("epochs", epochs, trainer.max_epochs), ("steps", steps, trainer.max_steps)):
            if maximum is not None and 0 <= maximum <= done:
                raise CompleteError(
                    f"{self.path}: has been trained for {done:,} {unit if done != 1 else unit[:-1]} already; "
                    f"give more, such as --trainer.max_{unit} {2 * done}"
                )
        return steps


def _of_run(run: Path, name: str) -> Path:
    path = run / "checkpoints" / f"{name}.ckpt"
    if not path.is_file():
        raise InputError(f"--ckpt_path {name}: the run of the config, {run}, has no such checkpoint")
    return path


def _run_of(name: str, newest: list[Path]) -> Path | None:
    """Return the folder of checkpoints of which ``name`` is one that `fit` keeps: a file, or last or best."""
    if name in ("last", "best"):
        return newest[-1] / "checkpoints" if newest else None
    path = Path(name).expanduser()
    is_kept = path.stem in KEPT and path.absolute().match("version_*/checkpoints/*.ckpt")
    return path.parent if is_kept else None


def _newest_whole(folder: Path | None) -> tuple[Path, dict[str, Any]] | None:
    """Return the checkpoint that has been trained for most steps, and its content; None if none is whole.

    The one that the run itself resumed counts too: a run that is killed early may have no other.
    """
    files = [] if folder is None else [folder / f"{name}.ckpt" for name in KEPT]
    while folder is not None and (origin := read_origin(folder.parent)) and origin[0] not in files:
        files.append(origin[0])
        folder = origin[0].parent
    found, most = None, -1
    for path in files:
        with contextlib.suppress(InputError):
            content = read_checkpoint(path)
            step = content.get("global_step")
            if isinstance(step, int) and step > most:
                found, most = (path, content), step
    return found


def insert_after_configs(args: list[str], options: list[str]) -> list[str]:
    """Insert options into a command line where they override configs and are overridden by all else."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    given, others = parser.parse_known_args(args[1:])
    return [args[0], *(f"--config={config}" for config in given.config), *options, *others]
