"""Where runs lie: ``runs/<dataset>/version_N/``, one folder a run, none used twice."""

import itertools
from pathlib import Path

from mnist_lstm.errors import InputError


def new_run(runs: Path, dataset: str, option: str = "--trainer.default_root_dir") -> Path:
    """Make the next free ``version_N`` folder; two runs that start at once get two.

    Args:
        runs: folder of all.
        dataset: name of a folder in it.
        option: that names another place, for messages.

    Raises:
        InputError: the folder cannot be made.
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
            f"{runs / dataset}: a folder for the run cannot be made there ({error.strerror or error}); "
            f"name another place with {option} DIR"
        ) from error
    raise AssertionError("itertools.count ends")


def empty_folder(option: str, name: str) -> Path:
    """Make a folder for results, or take an empty one: nothing of the user's is overwritten.

    Args:
        option: that named it, for messages.
        name: of the folder.

    Raises:
        InputError: it cannot be made, or holds something.
    """
    folder = Path(name).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(f"{option} {name}: cannot be made ({error.strerror or error})") from error
    if taken is not None:
        raise InputError(f"{option} {name}: holds files already and none is overwritten; name a new folder")
    return folder


def find_checkpoint(name: str, runs: Path, option: str = "--ckpt_path") -> Path:
    """Tell which file an option means.

    Args:
        name: last or best, of the newest run under ``runs``; or a file.
        runs: folder of the runs.
        option: for messages.

    Raises:
        InputError: there is no such file, or no such run.
    """
    if name not in ("last", "best"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"{option} {name}: no such file; give a checkpoint, or last or best of the newest run")
        return path
    # `fit` writes config.yaml when it starts, and never again
    starts = sorted(runs.glob("*/version_*/config.yaml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not starts:
        raise InputError(f"{option} {name}: there is no run under {runs}; train one with mnist-lstm fit")
    checkpoints = [start.with_name("checkpoints") / f"{name}.ckpt" for start in starts]
    if checkpoints[0].is_file():
        return checkpoints[0]
    others = [path for path in checkpoints if path.is_file()]
    hint = f"the newest that has is {others[0]}" if others else "no other run has one either"
    raise InputError(f"{option} {name}: the newest run, {starts[0].parent}, has kept no such checkpoint; {hint}")
