"""Files that the user asks for: new ones, so that nothing that is there is lost."""

import os
from pathlib import Path
from typing import IO, Any

from mnist_lstm.errors import InputError


def open_new(path: Path, option: str, *, binary: bool = False) -> IO[Any]:
    """Open a file that is not there yet for writing: UTF-8 text, or bytes.

    Args:
        path: of the file.
        option: that names it, for the message.
        binary: whether bytes are written.

    Raises:
        InputError: it is there already, or cannot be written.
    """
    refuse_existing(path, option)
    try:
        return path.expanduser().open("xb" if binary else "x", encoding=None if binary else "utf-8")
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written ({error.strerror})") from error


def refuse_existing(path: Path, option: str) -> None:
    """Find out, before much time is spent, whether `open_new` would refuse a file for being there already.

    Raises:
        InputError: it is there, or below the home folder of a user who is not known.
    """
    try:
        exists = os.path.lexists(path.expanduser())
    except RuntimeError as error:
        raise InputError(f"{option} {path}: there is no such user") from error
    if exists:
        raise InputError(f"{option} {path}: exists already and is not overwritten; name another file")
