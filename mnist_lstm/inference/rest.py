"""Read the pictures that an interrupted output lacks."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.inference.sources import File, Source, read


@dataclass(frozen=True, slots=True)
class Row:
    """Which picture a row of an output is about: its file as printable text, and its index, as in `Source`."""

    file: str
    index: int | None


def read_rest(files: Iterable[File | Source], done: Iterator[Row], limit: int | None, output: str) -> Iterator[Source]:
    """Read the files as `sources.read` does, but not the pictures that the rows ``done`` of ``output`` are about.

    These are the first ones, in the same order. Files of which there are rows are not opened, except the last.

    Raises:
        InputError: the rows are about other pictures.
    """
    row, number = next(done, None), 1
    for file in files:
        last: Row | None = None
        while row is not None and row.file == printable(file.file) and _goes_on(last, row):
            last, row, number = row, next(done, None), number + 1
        if last is not None and (row is not None or last.index is None):
            continue
        if last is not None and last.index is not None and isinstance(file, File):
            file = replace(file, wanted=range(last.index + file.wanted.step, sys.maxsize, file.wanted.step))
        for source in read([file], limit):
            if row is not None:
                raise _other_pictures(output, number, row, f"where {source.name} should be")
            yield source
    if row is not None:
        raise _other_pictures(output, number, row, "which is not among the pictures")


def _goes_on(last: Row | None, row: Row) -> bool:
    """Return whether a row is of the same file as the one before it, which has the same name."""
    return last is None or (last.index is not None and row.index is not None and row.index > last.index)


def _other_pictures(output: str, number: int, row: Row, text: str) -> InputError:
    name = row.file if row.index is None else f"{row.file}[{row.index}]"
    return InputError(
        f"--output {output}: row {number:,} is of {name}, {text}; repeat the command that wrote it, or name a new file"
    )
