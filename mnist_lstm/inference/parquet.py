"""Write answers as a folder of Parquet files, ``part-00000.parquet`` and so on, with pyarrow.

Readers such as pandas, DuckDB, Spark and Ray take such a folder as one table. Each part gets its name when it is whole,
so a killed run loses no more than the part that was to come.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError:
    pa = None

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, WriteError
from mnist_lstm.files import TEMPORARY, empty_folder, open_new
from mnist_lstm.inference.outputs import lock
from mnist_lstm.inference.rest import Row
from mnist_lstm.inference.writers import answer_fields

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Prediction
    from mnist_lstm.inference.sources import Source

PART_ROWS = 10_000
TEXTS = ("file", "message")
PART = re.compile(r"part-\d{5,}\.parquet")


class ParquetOutput:
    """A folder of part files of `PART_ROWS` rows each, with the columns of ``--format json``.

    Args:
        path: a new or empty folder.
        split: whether answers are strings of several digits.
        resume: continue the folder if it exists.
    """

    def __init__(self, path: Path, *, split: bool, resume: bool) -> None:
        if pa is None:
            raise InputError("--format parquet needs pyarrow: pip install 'mnist-lstm[parquet]'")
        self.has_errors = False
        self._name, self._folder = f"--output {path}", path.expanduser()
        self._schema = _schema(split)
        self._rows: list[dict[str, Any]] = []
        if not resume or not self._folder.exists():
            empty_folder("--output", str(path))
        self._parts = self._count_parts()
        self._open = contextlib.ExitStack()
        if sys.platform != "win32":  # which opens no folders
            descriptor = os.open(self._folder, os.O_RDONLY)
            self._open.callback(os.close, descriptor)
            lock(descriptor, self._name)

    def _count_parts(self) -> int:
        try:
            found = {path.name for path in self._folder.iterdir() if not TEMPORARY.fullmatch(path.name)}
        except OSError as error:
            raise InputError(f"{self._name}: cannot be read ({error.strerror or error})") from error
        other = sorted(found - {_part(number) for number in range(len(found))})
        if other:
            lacks = "; a part before it is missing" if PART.fullmatch(other[0]) else ""
            raise InputError(f"{self._name}: has {printable(other[0])}{lacks}; name a new folder")
        return len(found)

    def done(self) -> Iterator[Row]:
        """Yield what the rows of all parts are about."""
        for number in range(self._parts):
            path = self._folder / _part(number)
            try:
                with parquet.ParquetFile(path) as part:
                    if not part.schema_arrow.equals(self._schema):
                        raise InputError(
                            f"{self._name}: {path.name} has other columns; was it with --split, or without?"
                        )
                    for batch in part.iter_batches(columns=["file", "index", "status"]):
                        for fields in batch.to_pylist():
                            self.has_errors |= fields["status"] == "error"
                            yield Row(printable(fields["file"]), fields["index"])
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{self._name}: {path.name} is damaged; name a new folder") from error

    def write(self, source: "Source", prediction: "Prediction") -> None:
        """Take a row, and write those since the last part if they are enough."""
        self._rows.append(_to_row(source, prediction))
        if len(self._rows) == PART_ROWS:
            self._write_part()

    def flush(self) -> None:
        """Do nothing: parts have a number of rows."""

    def _write_part(self) -> None:
        rows, self._rows = self._rows, []
        try:
            with open_new(self._folder / _part(self._parts), "--output", binary=True) as file:
                parquet.write_table(pa.Table.from_pylist(rows, self._schema), file)
        except WriteError as error:
            raise WriteError(f"{error}; --resume continues it") from error
        self._parts += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._open:
            # an output without rows has one part, which says what the columns are
            if self._rows or (kind is None and not self._parts):
                self._write_part()


def _part(number: int) -> str:
    return f"part-{number:05d}.parquet"


def to_table(answers: "Iterable[tuple[Source, Prediction]]", *, split: bool = False) -> "pa.Table":
    """Return answers as an Arrow table with the columns of ``--format json``."""
    return pa.Table.from_pylist([_to_row(*answer) for answer in answers], _schema(split))


def _to_row(source: "Source", prediction: "Prediction") -> dict[str, Any]:
    fields = answer_fields(source, prediction)
    # UTF-8 has no bytes for what is no text in names of files
    text = {name: value.encode(errors="backslashreplace").decode() for name, value in fields.items() if name in TEXTS}
    return fields | text


def _schema(split: bool) -> Any:
    """Return the columns and their types, which are the same in every part."""
    digit, shares = (pa.string(), pa.list_(pa.list_(pa.float64()))) if split else (pa.int64(), pa.list_(pa.float64()))
    sides = ("probability", "left", "top", "right", "bottom")
    boxes = pa.list_(pa.struct([("digit", pa.int64()), *((side, pa.float64()) for side in sides)]))
    return pa.schema(
        [
            ("file", pa.string()),
            ("index", pa.int64()),
            ("digit", digit),
            ("probability", pa.float64()),
            ("probabilities", shares),
            ("status", pa.string()),
            ("message", pa.string()),
            ("boxes", boxes),
            ("marks", boxes),
        ]
    )
