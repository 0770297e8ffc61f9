"""Durable files, run folders, and the checkpoints in them; nothing of the user's is overwritten.

Every file of this project is written here. Its content goes to a temporary file beside it, ``.mnist-lstm-*.tmp``, which
is flushed to the disk and only then gets its name. Whoever is killed leaves the file of before, whole, or none; what is
left of the temporary one is removed by the next that writes into that folder. A file that is being written is locked,
and stays.

Written otherwise are standard output; TensorBoard's event files, which grow while a run goes on (each record has a
checksum); `classify`'s rows, which a killed run leaves to be continued; and files in the system's temporary folder.
"""

import contextlib
import errno
import functools
import io
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mnist_lstm.errors import InputError, WriteError

if sys.platform != "win32":  # which does not remove a file that is open, and needs no locks
    import fcntl

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

TEMPORARY = re.compile(r"\.mnist-lstm-[0-9a-f]{16}\.tmp")
"""Names of temporary files and folders; none that a person would choose, and not too long, whatever the file's name."""


def write(path: Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    """Write a file, or replace it. A symbolic link is replaced too, and what it points to stays.

    The file that it replaces is kept under the name ``previous``, if one is given.

    Raises:
        WriteError: it cannot be written; a file that was there is as it was.
    """

    def publish(temporary: Path, path: Path) -> None:
        if previous is not None and path.is_file():
            second = path.with_name(_temporary_name())
            # without hard links there is none, rather than no file at all for a moment
            with contextlib.suppress(OSError):
                os.link(path, second)
                second.replace(previous)
                second.unlink(missing_ok=True)  # two names of one file are not renamed
        temporary.replace(path)

    with _written(path, str(path), publish, WriteError, len(content)) as file:
        file.write(content)


@contextlib.contextmanager
def open_new(path: Path, option: str, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Write a new file of bytes or UTF-8 text, which is there when the ``with`` block has ended without an error.

    Raises:
        InputError: it exists or cannot be created; names ``option``.
        WriteError: the disk is full, or the like.
    """
    refuse_existing(path, option)
    with _written(path.expanduser(), f"{option} {path}", _link, InputError) as file:
        if binary:
            yield file
            return
        text = io.TextIOWrapper(file, encoding="utf-8")
        yield text
        text.flush()


def refuse_existing(path: Path, option: str) -> None:
    """Refuse a file that `open_new` would refuse because it exists, before time is spent on its content."""
    try:
        exists = os.path.lexists(path.expanduser())
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user") from error
    if exists:
        raise InputError(f"{option} {path}: exists already and is not overwritten; name another file")


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Make a temporary folder in ``parent``; remove it with all that is in it."""
    remove_leftovers(parent)
    while True:
        (folder := parent / _temporary_name()).mkdir()
        lock = _lock(folder)
        if lock is None or folder.exists():  # else another process took it for a leftover, before it was locked
            break
        os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in ``folder`` whose processes have been killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not TEMPORARY.fullmatch(entry.name):
                continue
            is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
            lock = _lock(Path(entry.path)) if is_file or is_folder else None
            if lock is None and (is_folder or sys.platform != "win32"):
                continue
            if is_folder:
                shutil.rmtree(entry.path, ignore_errors=True)
            elif is_file:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
            if lock is not None:
                os.close(lock)


_remove_leftovers_once = functools.cache(remove_leftovers)  # for many files in one folder


@contextlib.contextmanager
def _written(
    path: Path, name: str, publish: Callable[[Path, Path], object], error: type[InputError], needed: int | None = None
) -> Iterator[IO[bytes]]:
    """Write a temporary file beside ``path``, flush it, and ``publish(temporary, path)``.

    Errors begin with ``name``; ``error`` is that of a file that cannot be created, ``needed`` its size in bytes.
    """
    _remove_leftovers_once(path.parent.absolute())
    try:
        raw = _create(path, name, needed)
    except OSError as cause:
        raise error(f"{name}: cannot be written ({cause.strerror or cause})") from cause
    temporary = Path(str(raw.name))
    try:
        with raw, io.BufferedWriter(raw, 2**16) as file:
            yield file
            file.flush()
            with raw.named_errors():
                os.fsync(raw.fileno())
                if sys.platform == "win32":  # which renames no open file
                    file.close()
                publish(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()  # not there if it has been renamed
    # the file is whole; on some systems a folder cannot be opened or flushed
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _create(path: Path, name: str, needed: int | None) -> "_File":
    while True:
        file = _File(path.with_name(_temporary_name()), name, needed)
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.path.lexists(str(file.name)):  # else another process took it for a leftover, before it was locked
            return file
        file.close()


class _File(io.FileIO):
    """A new file whose errors name another, and say how much of it has been written."""

    def __init__(self, path: Path, shown: str, needed: int | None) -> None:
        super().__init__(path, "x")
        self._shown, self._needed = shown, needed

    def write(self, content: "ReadableBuffer", /) -> int:
        with self.named_errors():
            return super().write(content)

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise InputError(f"{self._shown}: exists already and is not overwritten; name another file") from error
        except OSError as error:
            there = 0 if self.closed else os.fstat(self.fileno()).st_size
            of = "" if self._needed is None else f" of {self._needed:,}"
            amount = f" after {there:,}{of} bytes" if error.errno in FULL else ""
            raise WriteError(f"{self._shown}: cannot be written ({error.strerror or error}{amount})") from error


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a quota, a limit on the size of files


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        path.touch(exist_ok=False)
        temporary.replace(path)


def _lock(path: Path) -> int | None:
    """Lock a file or folder until the returned descriptor is closed; return None if that cannot be done."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _temporary_name() -> str:
    return f".mnist-lstm-{secrets.token_hex(8)}.tmp"


def new_run(runs: Path, dataset: str, option: str = "--trainer.default_root_dir") -> Path:
    """Create the next folder ``version_N`` in ``runs / dataset``; two runs that start at once get different ones.

    If that fails, ``option`` is named as the one for another place. What killed runs have left of files that they were
    writing is removed.
    """
    folder = runs / dataset
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path for path in folder.glob("version_*") if path.name[8:].isdigit()]
        for other in others:
            remove_leftovers(other)
            remove_leftovers(other / "checkpoints")
        version = max((int(path.name[8:]) for path in others), default=-1) + 1
        while True:
            try:
                run = folder / f"version_{version}"
                run.mkdir()
                return run
            except FileExistsError:
                version += 1
    except OSError as error:
        raise InputError(
            f"{folder}: cannot create a run folder there ({error.strerror or error}); "
            f"choose another place with {option} DIR"
        ) from error


def results_folder(output: str | None, runs: str, name: str) -> Path:
    """Return the folder of ``--output``, or else a new one, ``runs/name/version_N``."""
    return new_run(Path(runs), name, "--output") if output is None else empty_folder("--output", output)


def empty_folder(option: str, name: str) -> Path:
    """Create a folder for results, or return an empty one; name ``option`` if that fails."""
    folder = Path(name).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{option} {name}: cannot be created ({error.strerror or error})") from error
    if not is_empty:
        raise InputError(f"{option} {name}: is not empty; name a new folder")
    return folder


def find_checkpoint(name: str, runs: Path, option: str = "--ckpt_path") -> Path:
    """Return the checkpoint that ``option`` means: a file, or last or best of the newest run in the folder ``runs``."""
    if name not in ("last", "best"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"{option} {name}: no such file; give a checkpoint, or last or best of the newest run")
        return path
    folders = list_runs(runs)
    if not folders:
        raise InputError(f"{option} {name}: there is no run under {runs}; train one with mnist-lstm fit")
    checkpoints = [folder / "checkpoints" / f"{name}.ckpt" for folder in folders]
    if checkpoints[0].is_file():
        return checkpoints[0]
    others = [path for path in checkpoints if path.is_file()]
    hint = f"the newest one is {others[0]}" if others else "no other run has one either"
    raise InputError(f"{option} {name}: the newest run, {folders[0]}, has no such checkpoint; {hint}")


def list_runs(runs: Path) -> list[Path]:
    """Return the folders of the runs in the folder ``runs``, the newest first."""
    # `fit` writes config.yaml once, when it starts
    starts = sorted(runs.glob("*/version_*/config.yaml"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [start.parent for start in starts]
