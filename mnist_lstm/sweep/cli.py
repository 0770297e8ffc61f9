"""``mnist-lstm sweep``: search for good options of `fit`."""

import argparse
import os
import re
import signal
import sys
from pathlib import Path

from mnist_lstm.errors import InputError, Stopped
from mnist_lstm.files import empty_folder
from mnist_lstm.sweep.space import read_space
from mnist_lstm.training.signals import Signals

STORAGE = "MNIST_LSTM_STORAGE"

USAGE = "mnist-lstm sweep SPACE.yaml [--trials N] [--storage URL] [OPTION ...] [--config FILE] [OPTION OF FIT ...]"

DESCRIPTION = """\
Search for good options of fit: SPACE.yaml says which ones, and in which ranges (README of mnist_lstm/sweep).

Each trial is a run of fit, judged by the validation images; the test images are never looked at. Start the command
several times, on any machines that reach the same database: each is a worker, and together they do N trials. The same
command goes on with a sweep. All other options are those of fit.
"""

EPILOG = """\
examples:
  mnist-lstm sweep configs/spaces/recipe.yaml --trials 30 --config configs/cpu.yaml
  mnist-lstm sweep configs/spaces/recipe.yaml --storage postgresql://me@server/sweeps --config configs/gpu.yaml
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options that are not those of `fit`."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        usage=USAGE, description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    add("--trials", type=_count, default=30, metavar="N", help="of all workers together; default: %(default)s")
    seeds = "then train the best options and the default with N other seeds each; default: %(default)s; 0: do not"
    add("--seeds", type=_seeds, default=3, metavar="N", help=seeds)
    metric = "what is judged: the lowest validation loss of a run, or its highest accuracy; default: %(default)s"
    add("--metric", choices=("loss", "acc"), default="loss", help=metric)
    pruning = "median: end a trial that is worse than the median of the others at that time; default: %(default)s"
    add("--pruning", choices=("median", "off"), default="median", help=pruning)
    add("--timeout", type=_count, metavar="SECONDS", help="start no trial after this time")
    add("--study", metavar="NAME", help="default: the name of SPACE.yaml")
    storage = f"address of a database; default: ${STORAGE}, else the SQLite file sweeps/STUDY/study.db"
    add("--storage", metavar="URL", help=storage)
    grace = "a worker without a sign of life for so long counts as killed, and its trial is run again; default: "
    add("--grace", type=_count, default=120, metavar="SECONDS", help=f"{grace}%(default)s")
    add("--output", metavar="DIR", help="new or empty folder; default: sweeps/STUDY/N-trials")
    return result


def run(args: list[str]) -> int:
    """Work on a sweep with the arguments after ``sweep``; return 0, or 128 + the number of the signal that ended it."""
    if not args:
        parser().print_help(sys.stderr)
        return 2
    if args[0] in ("-h", "--help"):
        parser().parse_args(["--help"])
    if args[0].startswith("-"):
        raise InputError(f"name the search space before {args[0]}: mnist-lstm sweep SPACE.yaml {args[0]} ...")
    file = Path(args[0]).expanduser()
    own, of_fit = parser().parse_known_args(args[1:])
    space = read_space(file)
    study = own.study or file.stem
    if not re.fullmatch(r"\w[\w.-]{0,199}", study):
        raise InputError(f"--study {study}: must be letters, digits, dots, dashes; give one with --study NAME")
    if own.output is not None:
        empty_folder("--output", own.output)
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"sweep needs {error.name}, which is not installed: pip install 'mnist-lstm[sweep]'"
        ) from error

    from mnist_lstm.sweep.sweep import Sweep

    url = own.storage or os.environ.get(STORAGE)

    signals = Signals()
    with signals.handled(saves=False):
        try:
            Sweep(own, of_fit, space, file, study, url).run()
        except (KeyboardInterrupt, Stopped):
            number = signals.ending or signal.SIGINT
            print(f"ended by {signal.Signals(number).name}; the same command goes on", file=sys.stderr)
            return 128 + number
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 1 or more")
    return int(text)


def _seeds(text: str) -> int:
    return 0 if text == "0" else _count(text)
