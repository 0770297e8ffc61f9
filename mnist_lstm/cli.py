"""The ``mnist-lstm`` command: picks the command and imports only what that one needs.

PyTorch and Lightning take seconds to import, so ``--help``, ``--version`` and a mistyped command answer without them.
"""

import os
import sys
from importlib import import_module
from importlib.metadata import version

from mnist_lstm.errors import InputError, TrainingError, printable

USAGE = """\
usage: mnist-lstm [--help] [--version] COMMAND [OPTION ...]

Train an LSTM to read handwritten digits row by row, and use it.

commands:
  fit        train a classifier, then test its best checkpoint
  validate   tell a checkpoint's accuracy on the validation images
  test       tell a checkpoint's accuracy on the test images
  predict    classify the test images, or those of an IDX file, as CSV lines
  classify   name the digit in any picture: photo, scan, drawing, array
  explain    show what the network does with a digit, row by row
  lesson     run an experiment that teaches something about LSTMs

  mnist-lstm COMMAND --help tells the options of a command.

options:
  --help     show this text
  --version  show the version
  --debug    with any command: show where an error comes from

examples:
  mnist-lstm fit --config configs/cpu.yaml
  mnist-lstm fit --config configs/cpu.yaml --model.hidden_size 64 --trainer.max_epochs 3
  mnist-lstm fit --config configs/cpu.yaml --ckpt_path last --trainer.max_epochs 24
  mnist-lstm test --ckpt_path best
  mnist-lstm classify seven.jpg
  mnist-lstm explain seven.jpg
  mnist-lstm lesson vanishing
"""

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")
OWN_COMMANDS = {
    "classify": "mnist_lstm.inference.command",
    "explain": "mnist_lstm.explain.command",
    "lesson": "mnist_lstm.lessons.command",
}
"""Commands without LightningCLI, and the modules that run them."""

COMMANDS = (*LIGHTNING_COMMANDS, *OWN_COMMANDS)


def main(args: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        args: without the program's name; default: those of this process.

    Returns:
        0 if all went well, 1 if a run failed, 2 if what was given cannot be used, 130 if it was interrupted.
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
        return _complain(f"{args[0]!r} is no command; commands: {', '.join(COMMANDS)}", 2)
    # PyTorch's threads wait for each other by spinning. Two runs at once on two cores spend their time so: 200 steps
    # took 17 s and more, instead of 3.5 s alone. With this little spinning it is 10 s, and alone it stays 3.5 s.
    # Read when PyTorch is imported; other OpenMP libraries than GNU's do not know the name.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        if args[0] in OWN_COMMANDS:
            code: int = import_module(OWN_COMMANDS[args[0]]).run(args[1:])
            return code
        return _run_lightning(args)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)
    except SystemExit as stop:
        # Lightning turns an interruption into an exit, so that it can end the run in order
        if isinstance(stop.__context__, KeyboardInterrupt):
            return _complain("interrupted", 130)
        raise
    except BrokenPipeError:
        # whoever reads the output has had enough, `head` for one; Python would complain again when it flushes
        sys.stdout = None
        if args[0] == "predict" or args[0] in OWN_COMMANDS:
            return 0
        return _complain("ended early, since nobody reads its output any more", 1)
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _run_lightning(args: list[str]) -> int:
    from mnist_lstm.lightning_cli import MNISTCLI, quiet_lightning

    quiet_lightning()
    MNISTCLI(args)
    return 0


def _explain(error: Exception) -> int:
    # Lightning's own error for options that cannot be used; where it has not been imported, it cannot be that
    lightning = sys.modules.get("lightning.fabric.utilities.exceptions")
    if isinstance(error, (InputError, getattr(lightning, "MisconfigurationException", InputError))):
        return _complain(str(error), 2)
    if isinstance(error, TrainingError):
        return _complain(str(error), 1)
    return _complain(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _complain(message: str, code: int) -> int:
    print(f"mnist-lstm: error: {printable(message)}", file=sys.stderr)
    return code


def entry_point() -> None:
    """Be the console script."""
    sys.exit(main())
