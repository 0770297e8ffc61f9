"""Create output files and run folders; never overwrite."""

import itertools
import os
from pathlib import Path
from typing import IO, Any

from mnist_lstm.errors import InputError


def open_new(path: Path, option: str, *, binary: bool = False) -> IO[Any]:
    """Create a file and open it for writing.

    Args:
        path: of the file.
        option: name of the option, for messages.
        binary: write bytes; default: UTF-8 text.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    refuse_existing(path, option)
    try:
        return path.expanduser().open("xb" if binary else "x", encoding=None if binary else "utf-8")
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from error


def refuse_existing(path: Path, option: str) -> None:
    """Refuse a file that `open_new` would refuse because it exists, before time is spent on its content.

    Raises:
        InputError: it exists, or is in the home folder of an unknown user.
    """
    try:
        exists = os.path.lexists(path.expanduser())
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user") from error
    if exists:
        raise InputError(f"{option} {path}: exists already and is not overwritten; name another file")


def new_run(runs: Path, dataset: str, option: str = "--trainer.default_root_dir") -> Path:
    """Create the next ``version_N`` folder; two runs that start at once get different ones.

    Args:
        runs: folder of all runs.
        dataset: name of the folder in it.
        option: name of the option for another place, for messages.

    Raises:
        InputError: the folder cannot be created.
    """
    try:
        (runs / dataset).mkdir(parents=True, exist_ok=True)
        taken = [int(path.name[8:]) for path in (runs / dataset).glob("version_*") if path.name[8:].isdigit()]
        for version in itertools.count(max(taken, default=-1) + 1):
            run = runs / dataset / f"version_{version}"
            try:
                run.mkdir()
            except FileExistsError:
                continue
            return run
    except OSError as error:
        raise InputError(
            f"{runs / dataset}: cannot create a run folder there ({error.strerror or error}); "
            f"choose another place with {option} DIR"
        ) from error
    raise AssertionError("itertools.count ends")


def empty_folder(option: str, name: str) -> Path:
    """Create a folder for results, or return an empty one.

    Args:
        option: name of the option, for messages.
        name: of the folder.

    Raises:
        InputError: the folder cannot be created, or is not empty.
    """
    folder = Path(name).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(f"{option} {name}: cannot be created ({error.strerror or error})") from error
    if taken is not None:
        raise InputError(f"{option} {name}: is not empty; name a new folder")
    return folder


def find_checkpoint(name: str, runs: Path, option: str = "--ckpt_path") -> Path:
    """Return the checkpoint that an option means.

    Args:
        name: a file, or last or best: of the newest run.
        runs: folder of all runs.
        option: name of the option, for messages.

    Raises:
        InputError: there is no such file or run.
    """
    if name not in ("last", "best"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"{option} {name}: no such file; give a checkpoint, or last or best of the newest run")
        return path
    # `fit` writes config.yaml once, when it starts
    starts = sorted(runs.glob("*/version_*/config.yaml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not starts:
        raise InputError(f"{option} {name}: there is no run under {runs}; train one with mnist-lstm fit")
    checkpoints = [start.with_name("checkpoints") / f"{name}.ckpt" for start in starts]
    if checkpoints[0].is_file():
        return checkpoints[0]
    others = [path for path in checkpoints if path.is_file()]
    hint = f"the newest one is {others[0]}" if others else "no other run has one either"
    raise InputError(f"{option} {name}: the newest run, {starts[0].parent}, has no such checkpoint; {hint}")
