"""The ``mnist-lstm`` command: pick the subcommand and import only what it needs.

PyTorch and Lightning take seconds to import; ``--help``, ``--version`` and a mistyped command do without.
"""

import os
import re
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version

from mnist_lstm.console import is_first_of_host, printable
from mnist_lstm.errors import InputError, Stopped, TrainingError, WriteError

USAGE = """\
usage: mnist-lstm [--help] [--version] COMMAND [OPTION ...]

Train an LSTM to read handwritten digits row by row, and use it.

commands:
  fit        train a classifier, then test its best checkpoint
  sweep      search for good options of fit, with any number of workers
  validate   print a checkpoint's accuracy on the validation images
  test       print a checkpoint's accuracy on the test images
  predict    classify the test images, or those of an IDX file, as CSV lines
  classify   read the digit in any picture: photo, scan, drawing, array
  explain    show what the network does with a digit, row by row
  page       write an HTML file in which to draw digits and watch the network read them
  export     write a network as an ONNX file, for programs without PyTorch
  serve      start a server with the page, which also reads photographs, and an API
  verify     print whether checkpoints and the files of MNIST are whole
  lesson     run an experiment about LSTMs

  mnist-lstm COMMAND --help shows the options of a command.

options:
  --help     show this text
  --version  show the version
  --debug    with any command: show the traceback of an error

examples:
  mnist-lstm fit --config configs/cpu.yaml
  mnist-lstm fit --config configs/cpu.yaml --model.hidden_size 64 --trainer.max_epochs 3
  mnist-lstm fit --config configs/cpu.yaml --ckpt_path last --trainer.max_epochs 24
  mnist-lstm sweep configs/spaces/recipe.yaml --trials 30 --config configs/cpu.yaml
  mnist-lstm test --ckpt_path best
  mnist-lstm classify seven.jpg
  mnist-lstm explain seven.jpg
  mnist-lstm page
  mnist-lstm export digits.onnx
  mnist-lstm serve
  mnist-lstm verify runs data
  mnist-lstm lesson vanishing
"""

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")
OWN_COMMANDS = {
    "sweep": "mnist_lstm.sweep.cli",
    "classify": "mnist_lstm.inference.cli",
    "explain": "mnist_lstm.explain.cli",
    "page": "mnist_lstm.page.cli",
    "export": "mnist_lstm.export.cli",
    "serve": "mnist_lstm.serve.cli",
    "verify": "mnist_lstm.verify.cli",
    "lesson": "mnist_lstm.lessons.cli",
}
"""Commands without Lightning's parser, and the modules that run them."""

COMMANDS = (*LIGHTNING_COMMANDS, *OWN_COMMANDS)


def main(args: list[str] | None = None) -> int:
    """Run the command line, by default that of this process, without the program's name.

    Returns:
        0 for success, 1 for a failure, 2 for bad input, 128 + its number for a signal: 130 for Ctrl-C, 143 for SIGTERM.
    """
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args
    args = [arg for arg in args if arg != "--debug"]
    if not args or args[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    if args[0] == "--version":
        print(f"mnist-lstm {version('mnist-lstm')}")
        return 0
    if args[0] not in COMMANDS:
        close = {"train": ["fit"], "evaluate": ["test"]}.get(args[0]) or get_close_matches(args[0], COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"commands: {', '.join(COMMANDS)}"
        return _complain(f"unknown command {args[0]!r}; {hint}", 2)
    # PyTorch's threads spin while they wait for each other. Of two runs at once on two cores, 200 steps took 17 s and
    # more instead of 3.5 s alone; with this little spinning 10 s, and still 3.5 s alone. GNU's OpenMP reads it when
    # PyTorch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        if args[0] in OWN_COMMANDS:
            code: int = import_module(OWN_COMMANDS[args[0]]).run(args[1:])
            return code
        return _run_lightning(args)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except Stopped as stop:
        if is_first_of_host():
            print(f"mnist-lstm: {printable(str(stop))}", file=sys.stderr)
        return 128 + stop.number
    except SystemExit as stop:
        # Lightning turns an interruption into an exit, so that it can end the run in order
        if isinstance(stop.__context__, KeyboardInterrupt):
            return _complain("interrupted", 130)
        raise
    except BrokenPipeError:
        # the reader of the output, such as `head`, has closed it; Python would raise again when it flushes
        sys.stdout = None
        if args[0] == "predict" or args[0] in OWN_COMMANDS:
            return 0
        return _complain("stdout was closed", 1)
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _run_lightning(args: list[str]) -> int:
    from mnist_lstm.training.signals import Signals

    signals = Signals()
    with signals.handled(saves=args[0] == "fit"):
        from mnist_lstm.training.cli import main as run

        run(args, signals)
    return 0


def _explain(error: Exception) -> int:
    # Lightning's error for bad options; it can only be raised where Lightning has been imported
    lightning = sys.modules.get("lightning.fabric.utilities.exceptions")
    bad_input = (InputError, getattr(lightning, "MisconfigurationException", InputError))
    if isinstance(error, (TrainingError, *bad_input)):
        code = 1 if isinstance(error, (TrainingError, WriteError)) else 2
        # several processes have the same options, files and losses
        return _complain(str(error), code) if is_first_of_host() else code
    requirement = re.search(r"Requirement '([^']+)' not met", str(error))  # Lightning's words
    if requirement:
        return _complain(f"this needs {requirement[1]}, which is not installed: pip install '{requirement[1]}'", 2)
    return _complain(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _complain(message: str, code: int) -> int:
    print(f"mnist-lstm: error: {printable(message)}", file=sys.stderr)
    return code


def entry_point() -> None:
    """Run as the console script."""
    sys.exit(main())
