"""Run the lessons with their default options: write the table of results and the figures, or check the table.

python scripts/lesson_results.py
python scripts/lesson_results.py --update
python scripts/lesson_results.py --check
python scripts/lesson_results.py vanishing bptt --check

Without an option, the table is printed. --update writes it into mnist_lstm/lessons/README.md and draws the figures
again. --check compares the median of each new result with the range in that table; times, which depend on the machine,
are not compared.
"""

import argparse
import io
import re
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import write
from mnist_lstm.lessons import MODULES, Measure, load, spread

REPOSITORY = Path(__file__).resolve().parents[1]
README = REPOSITORY / "mnist_lstm" / "lessons" / "README.md"
FIGURES = REPOSITORY / ".github" / "lessons"
BEGIN, END = "<!-- results: python scripts/lesson_results.py --update -->", "<!-- end of results -->"

Table = dict[str, dict[str, str]]
"""Median with the range, by lesson and by what it measures."""


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="lessons to run (all)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--update", action="store_true", help="write the table and the figures")
    action.add_argument("--check", action="store_true", help="compare with the table; exit code 1 if a result differs")
    parser.add_argument("--data_dir", default="data", help="folder of MNIST, filled if need be (data)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="lessons at a time, one thread each (1)")
    try:
        return run(parser.parse_args(args))
    except InputError as error:
        print(f"lesson_results: error: {printable(str(error))}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Run the lessons, and print, write or compare their results.

    Raises:
        InputError: a lesson is unknown, or the README has no table.
    """
    names = options.lessons or list(MODULES)
    for name in names:
        if name not in MODULES:
            raise InputError(f"unknown lesson {name!r}; choose from {', '.join(MODULES)}")
    if options.jobs < 1:
        raise InputError(f"--jobs {options.jobs}: must be at least 1")
    known = read_table(README.read_text(encoding="utf-8"))
    measured: dict[str, list[Measure]] = {}
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        figures = FIGURES if options.update else None
        tasks = {name: pool.submit(run_lesson, name, options.data_dir, figures) for name in names}
        for name, task in tasks.items():
            measured[name], seconds = task.result()
            print(f"{name:<13} {seconds:4.0f} s", file=sys.stderr)
    if options.check:
        problems = [problem for name in names for problem in compare(measured[name], known.get(name, {}))]
        total = sum(map(len, measured.values()))
        print(*problems, f"{len(problems)} of {total} results differ from the table", sep="\n")
        return 1 if problems else 0
    new = {name: {measure.name: value_of(measure) for measure in measures} for name, measures in measured.items()}
    if options.update:
        write_table(known | new)
    else:
        print(*to_lines(new), sep="\n")
    return 0


def run_lesson(name: str, data_dir: str, figures: Path | None) -> tuple[list[Measure], float]:
    """Run a lesson on one thread, as the command does, and save its figures into a folder, if one is given.

    Returns its measures and how many seconds it took.
    """
    torch.set_num_threads(1)
    lesson = load(name)
    options = lesson.Options()
    if hasattr(options, "data_dir"):
        options = lesson.Options(data_dir=data_dir)
    start = time.perf_counter()
    result = lesson.run(options)
    seconds = time.perf_counter() - start
    if figures is not None:
        figures.mkdir(exist_ok=True)
        for suffix, figure in {"": result.figure, **{f"-{key}": other for key, other in result.more.items()}}.items():
            picture = io.BytesIO()
            figure.savefig(picture, format="png", dpi=80)
            write(figures / f"{name}{suffix}.png", picture.getvalue())
    return result.measures, seconds


def value_of(measure: Measure) -> str:
    """Format the median and the range."""
    return spread(measure.values, measure.style).replace("%", " %")


def read_table(text: str) -> Table:
    """Return the values in the README's table by lesson and measure.

    Raises:
        InputError: there is no table.
    """
    if not 0 <= text.find(BEGIN) < text.find(END):
        raise InputError(f"{README}: has no table between {BEGIN} and {END}")
    table: Table = {}
    lesson = ""
    for line in text[text.index(BEGIN) : text.index(END)].splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0] != "lesson" and not cells[0].startswith("---"):
            lesson = cells[0].strip("`") or lesson
            table.setdefault(lesson, {})[cells[1].replace("\\|", "|")] = cells[2]
    return table


def to_lines(table: Table) -> list[str]:
    """Return the rows of a table in Markdown, in the order of the lessons; a lesson's name stands in its first row."""
    lines = []
    for lesson in MODULES:
        for index, (name, value) in enumerate(table.get(lesson, {}).items()):
            escaped = name.replace("|", "\\|")
            lines.append(f"| {f'`{lesson}`' if index == 0 else ''} | {escaped} | {value} |")
    return lines


def write_table(table: Table) -> None:
    """Write a table into the README, in the place of the one that is there."""
    text = README.read_text(encoding="utf-8")
    header = ["| lesson | measured | median (lowest to highest) |", "| --- | --- | --- |"]
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    write(README, "\n".join([before, *header, *to_lines(table), after]).encode())


def compare(measures: list[Measure], known: dict[str, str]) -> Iterator[str]:
    """Yield a line for each measure whose median lies outside the range that is known, or that is not known."""
    for measure in measures:
        if measure.name not in known:
            yield f"not in the table: {measure.name}"
            continue
        limits = numbers_in(known[measure.name])
        median = numbers_in(value_of(measure._replace(values=[statistics.median(measure.values)])))[0]
        if not measure.is_time and not min(limits) <= median <= max(limits):
            yield f"{measure.name}: {value_of(measure)} is not within {known[measure.name]}"


def numbers_in(text: str) -> list[float]:
    """Return the numbers in a text such as ``1,200 (9e-05 to 2.5e+03)``."""
    return [float(number) for number in re.findall(r"-?\d[\d.]*(?:e[-+]\d+)?", text.replace(",", ""))]


if __name__ == "__main__":
    sys.exit(main())
