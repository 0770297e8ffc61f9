"""``mnist-lstm lesson``: run one of the lessons, and keep its figure and its numbers."""

import ast
import json
import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.errors import InputError, TrainingError, printable
from mnist_lstm.lessons import MODULES, load

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

USAGE = "usage: mnist-lstm lesson NAME [--output DIR] [OPTION ...]"


def run(args: list[str]) -> int:
    """Run a lesson.

    Args:
        args: the command line behind ``lesson``.

    Returns:
        0.

    Raises:
        InputError: there is no such lesson, or an option cannot be used.
    """
    if not args or args[0] in ("-h", "--help"):
        print(overview(), file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    name = args[0]
    if name not in MODULES:
        raise InputError(f"{name!r} is no lesson; lessons: {', '.join(MODULES)}")

    import torch

    from mnist_lstm.runs import empty_folder, new_run

    lesson = load(name)
    options = parser(name).parse_args(args[1:]).as_dict()
    output = options.pop("output")
    print(f"{textwrap.fill(_text(name).splitlines()[0], 100)}\n", flush=True)
    # before the work, so that no result is lost for want of a place
    folder = new_run(Path("lessons"), name, "--output") if output is None else empty_folder("--output", output)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks here are so small that threads only wait for each other
    try:
        result = lesson.run(**options)
        numbers = json.dumps({"options": options, **result.numbers}, indent=1, allow_nan=False)
    except BaseException as error:
        if output is None:
            folder.rmdir()  # nothing is in it yet
        if isinstance(error, ValueError) and "JSON compliant" in str(error):
            raise TrainingError("a loss became infinite or not a number; try a smaller --learning_rate") from error
        raise
    finally:
        torch.set_num_threads(threads)
    print("\n".join(result.lines), flush=True)
    result.figure.savefig(folder / f"{name}.png", dpi=90)
    (folder / f"{name}.json").write_text(numbers + "\n", encoding="utf-8")
    print(f"\nfigure  {printable(str(folder / f'{name}.png'))}\nnumbers {printable(str(folder / f'{name}.json'))}")
    print(f"why     mnist-lstm lesson {name} --help")
    return 0


def parser(name: str) -> "ArgumentParser":
    """Describe a lesson's command line; its help is the lesson's text."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Leave equations as they are."""

    result = ArgumentParser(f"mnist-lstm lesson {name}", description=_text(name), formatter_class=Formatter)
    result.add_argument(
        "--output",
        type=str | None,
        default=None,
        metavar="DIR",
        help="New or empty folder; default: lessons/NAME/version_N, a new one each time.",
    )
    result.add_function_arguments(load(name).run)
    return result


def overview() -> str:
    """Name the lessons, with the first line of each one's text."""
    lines = [f"  {name:<12} {_text(name).splitlines()[0]}" for name in MODULES]
    return "\n".join(
        [
            USAGE,
            "",
            "Experiments that teach something about LSTMs. Each runs in under a minute, prints what came out, and",
            "draws a figure of it. mnist-lstm lesson NAME --help explains the idea and tells the options.",
            "",
            "lessons:",
            *lines,
        ]
    )


def _text(name: str) -> str:
    """Read what a lesson says, without importing it: the overview must not wait for PyTorch."""
    spec = find_spec(f"mnist_lstm.lessons.{MODULES[name]}")
    assert spec is not None
    assert spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
