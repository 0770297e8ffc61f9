"""``mnist-lstm verify``: whether checkpoints and the files of MNIST are whole."""

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from mnist_lstm.console import printable
from mnist_lstm.data.mnist_files import ARCHIVE_MD5, UNPACKED_MD5, check_md5
from mnist_lstm.errors import InputError
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.inference.cli import tolerate_odd_files

DESCRIPTION = """\
Print of each checkpoint and each file of MNIST whether it is whole: one line a file, "whole" or "damaged" first.

Checkpoints are compared with the digest in them, or, from before they had one, with the checksums of their parts; and
their options and weights are checked as by every command that reads them. Files of MNIST, unpacked or not, are known
by their names and compared with the published MD5 sums. Nothing in a file runs.

The exit code is 0 if all are whole, or 1.
"""

EPILOG = """\
examples:
  mnist-lstm verify runs data
  mnist-lstm verify pretrained
"""

MD5 = UNPACKED_MD5 | {f"{name}.gz": md5 for name, md5 in ARCHIVE_MD5.items()}
"""Published sums by the name of the file."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm verify", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    text = "file, folder to search with all folders in it, or pretrained: the weights in this package"
    result.add_argument("paths", nargs="+", metavar="PATH", help=text)
    return result


def run(args: list[str]) -> int:
    """Verify files with the arguments after ``verify``; return 0, or 1 if one is not whole or none was found."""
    options = parser().parse_args(args)
    tolerate_odd_files()
    are_whole = True
    for name in options.paths:
        found = False
        for path in _find(name):
            found = True
            try:
                status, text = "whole", _verify(path)
            except InputError as error:
                status, text = "damaged", str(error).removeprefix(f"{path}: ")
                are_whole = False
            print(f"{status:<8} {printable(str(path))}: {printable(text)}", flush=True)
        if not found:
            message = f"{name}: holds no checkpoint (*.ckpt) and no file of MNIST"
            print(f"mnist-lstm: error: {printable(message)}", file=sys.stderr)
            are_whole = False
    return 0 if are_whole else 1


def _find(name: str) -> Iterator[Path]:
    """Yield a file, or the checkpoints and files of MNIST in a folder, sorted; links to folders are not followed."""
    path = PRETRAINED if name == "pretrained" else Path(name).expanduser()
    if not path.is_dir():
        yield path
        return
    closed: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=closed.append):
        folders.sort()
        yield from (Path(folder, file) for file in sorted(files) if file.endswith(".ckpt") or file in MD5)
    yield from (Path(error.filename) for error in closed)


def _verify(path: Path) -> str:
    """Return what a whole file is.

    Raises:
        InputError: it is missing, special, damaged or something else.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            list(path.iterdir())  # why it was not searched
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is not a regular file")
    if path.name in MD5:
        try:
            check_md5(path, MD5[path.name])
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        return "MNIST, as published"

    # PyTorch takes a second to import, and MNIST does without
    from mnist_lstm.network.checkpoint import check_weights, read_checkpoint, without_weights
    from mnist_lstm.network.seal import open_whole

    with open_whole(path) as (_, is_sealed):
        checkpoint = read_checkpoint(path)
    weights = check_weights(checkpoint, without_weights(checkpoint["hyper_parameters"]), path)
    number = sum(weight.numel() for weight in weights.values())
    how = "by its digest" if is_sealed else "by the checksums of its parts; it has no digest"
    return f"checkpoint with {number:,} weights, {how}"
