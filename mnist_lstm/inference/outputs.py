"""Where the answers of ``mnist-lstm classify`` go; a file that a killed run has left is continued."""

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError, WriteError
from mnist_lstm.files import refuse_existing
from mnist_lstm.inference.rest import Row
from mnist_lstm.inference.writers import CSV_COLUMNS, CSV_HEADER, WRITERS, Writer, csv_rows, json_rows

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Prediction
    from mnist_lstm.inference.sources import Source


class Output(Protocol):
    """A context manager that takes answers.

    Attributes:
        has_errors: whether one of the rows from `done` is about a picture that cannot be read.
    """

    has_errors: bool

    def done(self) -> Iterator[Row]:
        """Yield what the rows are about that are there already; to be read to the end before `write`."""

    def write(self, source: "Source", prediction: "Prediction") -> None: ...  # noqa: D102 - writes an answer

    def flush(self) -> None:
        """Keep what has been written, as far as this kind of output can."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None: ...


class StandardOutput:
    """Standard output, in one of the formats of `WRITERS`; ``names`` as there."""

    has_errors = False

    def __init__(self, kind: str, names: list[str]) -> None:
        self.write = WRITERS[kind](sys.stdout, names)

    def done(self) -> Iterator[Row]:
        """Yield nothing."""
        return iter(())

    def flush(self) -> None:
        """Show what has been written."""
        sys.stdout.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass


class TextOutput:
    """A file of CSV or JSON lines. After a kill, all of its rows are whole but the last one, which may be cut short.

    Args:
        path: a new file.
        kind: csv or json.
        resume: continue the file if it exists.
    """

    def __init__(self, path: Path, kind: str, *, resume: bool) -> None:
        self.has_errors = False
        self._name, self._kind = f"--output {path}", kind
        if not resume:
            refuse_existing(path, "--output")
        path = path.expanduser()
        try:
            binary = path.open("r+b" if resume and path.exists() else "x+b")
        except OSError as error:
            raise InputError(f"{self._name}: cannot be written ({error.strerror or error})") from error
        try:
            lock(binary.fileno(), self._name)
        except InputError:
            binary.close()
            raise
        self._binary = binary
        self._text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        self._whole: int | None = None  # number of bytes of the header and whole rows, when they have been read
        self._write: Writer | None = None

    def done(self) -> Iterator[Row]:
        """Yield what the whole rows are about. The first `write` removes one that is cut short."""
        self._binary.seek(0)
        lines = _Lines(self._binary)
        try:
            for row, status in (_read_csv if self._kind == "csv" else _read_json)(lines):
                self.has_errors |= status == "error"
                yield row
            start = CSV_HEADER.encode() if self._kind == "csv" else b'{"file": '
            if not lines.whole and lines.rest[: len(start)] != start[: len(lines.rest)]:
                raise ValueError("another beginning")
        except (ValueError, LookupError, TypeError, csv.Error) as error:
            raise InputError(
                f"{self._name}: has something else than rows of --format {self._kind} after {lines.whole:,} bytes"
            ) from error
        self._whole = lines.whole

    def write(self, source: "Source", prediction: "Prediction") -> None:
        """Write an answer."""
        with self._named_errors():
            if self._write is None:
                self._write = self._begin()
            self._write(source, prediction)

    def flush(self) -> None:
        """Write all rows to the disk."""
        with self._named_errors():
            self._text.flush()
            os.fsync(self._binary.fileno())

    def _begin(self) -> Writer:
        assert self._whole is not None, "what is there has not been read"
        self._binary.truncate(self._whole)
        self._binary.seek(self._whole)
        if self._kind == "json":
            return json_rows(self._text)
        if not self._whole:
            self._text.write(CSV_HEADER)
        return csv_rows(self._text)

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise WriteError(f"{self._name}: cannot be written ({reason}); --resume continues it") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._named_errors():
            if kind is None and self._write is None:
                self._begin()
            self._text.close()


def lock(descriptor: int, name: str) -> None:
    """Keep other processes from continuing the same output, until this one ends."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{name}: another process is writing it") from error
        except OSError:  # some network file systems have no locks
            pass


class _Lines:
    """Lines of a file, up to one that is cut short.

    Attributes:
        whole: number of bytes of the header and of whole rows; readers set it with `mark`.
        ended: whether all lines have been read.
        rest: the line that is cut short.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read = self.whole = 0
        self.ended = False
        self.rest = b""

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            if not line.endswith(b"\n"):
                self.rest = line
                break
            self._read += len(line)
            yield line.decode()
        self.ended = True

    def mark(self) -> None:
        """Count all lines that have been read as whole rows."""
        self.whole = self._read


def _read_json(lines: _Lines) -> Iterator[tuple[Row, str]]:
    for line in lines:
        fields = json.loads(line)
        lines.mark()
        yield Row(printable(fields["file"]), fields["index"]), fields["status"]


def _read_csv(lines: _Lines) -> Iterator[tuple[Row, str]]:
    each = iter(lines)
    if next(each, CSV_HEADER) != CSV_HEADER:
        raise ValueError("another header")
    lines.mark()
    reader = csv.reader(each, strict=True)  # a row may have several lines: those of a string are in quotes
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            if lines.ended:  # the last row is cut short between the lines of a string
                return
            raise
        if len(fields) != len(CSV_COLUMNS):
            raise ValueError("another number of columns")
        lines.mark()
        file, index, _, _, status, *_ = fields
        yield Row(file, int(index) if index else None), status
