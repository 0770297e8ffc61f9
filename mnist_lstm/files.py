"""Create output files and run folders; never overwrite."""

import os
from pathlib import Path
from typing import IO, Any

from mnist_lstm.errors import InputError


def open_new(path: Path, option: str, *, binary: bool = False) -> IO[Any]:
    """Create a file and open it for writing bytes or UTF-8 text; name ``option`` if that fails."""
    refuse_existing(path, option)
    try:
        return path.expanduser().open("xb") if binary else path.expanduser().open("x", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from error


def refuse_existing(path: Path, option: str) -> None:
    """Refuse a file that `open_new` would refuse because it exists, before time is spent on its content."""
    try:
        exists = os.path.lexists(path.expanduser())
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user") from error
    if exists:
        raise InputError(f"{option} {path}: exists already and is not overwritten; name another file")


def new_run(runs: Path, dataset: str, option: str = "--trainer.default_root_dir") -> Path:
    """Create the next folder ``version_N`` in ``runs / dataset``; two runs that start at once get different ones.

    If that fails, ``option`` is named as the one for another place.
    """
    folder = runs / dataset
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(path.name[8:]) for path in folder.glob("version_*") if path.name[8:].isdigit()]
        version = max(taken, default=-1) + 1
        while True:
            try:
                run = folder / f"version_{version}"
                run.mkdir()
                return run
            except FileExistsError:
                version += 1
    except OSError as error:
        raise InputError(
            f"{folder}: cannot create a run folder there ({error.strerror or error}); "
            f"choose another place with {option} DIR"
        ) from error


def results_folder(output: str | None, runs: str, name: str) -> Path:
    """Return the folder of ``--output``, or else a new one, ``runs/name/version_N``."""
    return new_run(Path(runs), name, "--output") if output is None else empty_folder("--output", output)


def empty_folder(option: str, name: str) -> Path:
    """Create a folder for results, or return an empty one; name ``option`` if that fails."""
    folder = Path(name).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{option} {name}: cannot be created ({error.strerror or error})") from error
    if not is_empty:
        raise InputError(f"{option} {name}: is not empty; name a new folder")
    return folder


def find_checkpoint(name: str, runs: Path, option: str = "--ckpt_path") -> Path:
    """Return the checkpoint that ``option`` means: a file, or last or best of the newest run in the folder ``runs``."""
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
