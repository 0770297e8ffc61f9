"""Where runs lie: ``runs/<dataset>/version_N/``, one folder a run, none used twice."""

import itertools
from pathlib import Path

from mnist_lstm.errors import InputError


def new_run(runs: Path, dataset: str) -> Path:
    """Make the next free ``version_N`` folder; two runs that start at once get two.

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
            "name another place with --trainer.default_root_dir DIR"
        ) from error
    raise AssertionError("itertools.count ends")


def find_checkpoint(name: str, runs: Path) -> Path:
    """Tell which file ``--ckpt_path`` means.

    Args:
        name: last or best, of the newest run under ``runs`` that has kept a checkpoint; or a file.
        runs: folder of the runs.

    Raises:
        InputError: there is no such file, or no such run.
    """
    if name not in ("last", "best"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"--ckpt_path {name}: no such file; give a checkpoint, or last or best of the newest run")
        return path
    newest = max(runs.glob("*/version_*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        raise InputError(f"--ckpt_path {name}: no run under {runs} has a checkpoint; train one with mnist-lstm fit")
    path = newest.with_name(f"{name}.ckpt")
    if not path.is_file():
        raise InputError(f"--ckpt_path {name}: the newest run has no {path}; last.ckpt lies there")
    return path
