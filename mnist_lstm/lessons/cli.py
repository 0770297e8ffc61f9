"""``mnist-lstm lesson``: run a lesson and write its figure and numbers."""

import ast
import json
import sys
import textwrap
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, TrainingError
from mnist_lstm.files import open_new, results_folder
from mnist_lstm.lessons import MODULES, load

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

USAGE = """\
usage: mnist-lstm lesson NAME [--output DIR] [OPTION ...]

Experiments that teach something about LSTMs. Each takes about a minute, or less with --quick, prints its result and
draws figures.
mnist-lstm lesson NAME --help explains the idea and lists the options.

lessons:"""


def run(args: list[str]) -> int:
    """Run a lesson with the arguments after ``lesson``; return 0, or 2 if no lesson is named."""
    if not args or args[0] in ("-h", "--help"):
        lessons = (f"  {name:<12} {_docstring(name).splitlines()[0]}" for name in MODULES)
        print(USAGE, *lessons, sep="\n", file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    name = args[0]
    if name not in MODULES:
        raise InputError(f"unknown lesson {name!r}; choose from {', '.join(MODULES)}")

    import torch

    lesson = load(name)
    options = parser(name, quick="--quick" in args).parse_args(args[1:]).as_dict()
    output, _ = options.pop("output"), options.pop("quick")
    print(f"{textwrap.fill(_docstring(name).splitlines()[0], 100)}\n", flush=True)
    # before the training, so that no result is lost because it cannot be written
    folder = results_folder(output, "lessons", name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # in networks this small, more threads only wait for each other
    try:
        result = lesson.run(lesson.Options(**options))
        measures = {measure.name: list(measure.values) for measure in result.measures}
        numbers = json.dumps({"options": options, "measures": measures, **result.numbers}, indent=1, allow_nan=False)
    except BaseException as error:
        if output is None:
            folder.rmdir()  # still empty
        if isinstance(error, ValueError) and "JSON compliant" in str(error):
            raise TrainingError("a loss became infinite or NaN; try a smaller --learning_rate") from error
        raise
    finally:
        torch.set_num_threads(threads)
    print(*result.lines, sep="\n", flush=True)
    print()
    for key, figure in {name: result.figure, **{f"{name}-{key}": other for key, other in result.more.items()}}.items():
        path = folder / f"{key}.png"
        with open_new(path, "--output", binary=True) as file:
            figure.savefig(file, format="png", dpi=90)
        print(f"figure   {printable(str(path))}")
    data = folder / f"{name}.json"
    with open_new(data, "--output") as file:
        file.write(numbers + "\n")
    print(f"numbers  {printable(str(data))}")
    print(f"help     mnist-lstm lesson {name} --help")
    return 0


def parser(name: str, *, quick: bool = False) -> "ArgumentParser":
    """Return the parser of a lesson's options, with the defaults of ``--quick`` or of the whole lesson.

    Its help begins with the lesson's docstring.
    """
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keep the line breaks of equations."""

    result = ArgumentParser(f"mnist-lstm lesson {name}", description=_docstring(name), formatter_class=Formatter)
    output = "New or empty folder; default: lessons/NAME/version_N, a new one for each run."
    result.add_argument("--output", type=str | None, default=None, metavar="DIR", help=output)
    result.add_argument("--quick", action="store_true", help="Fewer seeds or updates, for a first look.")
    lesson = load(name)
    result.add_class_arguments(lesson.Options)
    if quick:
        result.set_defaults(getattr(lesson, "QUICK", {}))
    return result


def _docstring(name: str) -> str:
    """Read a lesson's docstring without importing the lesson, which would import PyTorch."""
    source = Path(__file__).with_name(f"{MODULES[name]}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""
