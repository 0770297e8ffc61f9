"""Read the pages of PDF files as images, with a package of the extra ``photos``.

A page is a program: one of a few bytes can draw for years, or take all memory. So pages are drawn in another process,
`render_pdf`, which has `MAX_SECONDS` for each and `MAX_BYTES` of memory.
"""

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from PIL import Image

from mnist_lstm.errors import InputError
from mnist_lstm.inference.photos import missing

RENDERER = Path(__file__).with_name("render_pdf.py")
SIDE = 2000  # longer side of a page in pixels, whatever size it has on paper
MAX_SECONDS = 30
MAX_BYTES = 2**30  # enforced where the system can: not on Windows
LIMITS = f"{MAX_SECONDS} s and {MAX_BYTES // 2**20:,} MiB of memory"


@contextlib.contextmanager
def open_pdf(file: BinaryIO, wanted: range) -> Iterator[tuple[int, Iterator[Image.Image | InputError]]]:
    """Open a PDF file; yield its number of pages, and those with the indices ``wanted`` as RGB images.

    In place of a page that cannot be drawn comes the reason.
    """
    if importlib.util.find_spec("pypdfium2") is None:
        raise missing("a PDF file")
    indices = wanted.start, wanted.stop, wanted.step
    # -P: the modules beside the program must not take the place of others with their names
    program = [sys.executable, "-P", str(RENDERER), *map(str, (SIDE, MAX_SECONDS, MAX_BYTES, *indices))]
    with contextlib.ExitStack() as stack:
        try:
            file.fileno()
        except OSError:  # in memory
            data, file = file, stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(data, file)
            file.flush()
        renderer = stack.enter_context(
            subprocess.Popen(program, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        )
        stack.callback(renderer.kill)
        assert renderer.stdout is not None
        first = renderer.stdout.readline(20).strip()
        if first == b"password":
            raise InputError("is protected by a password; save it without one")
        if first == b"damaged":
            raise InputError("is a damaged PDF file")
        if not first:
            raise InputError(f"is a PDF file that cannot be opened within {LIMITS}")
        yield int(first), _receive(renderer.stdout, len(range(int(first))[slice(*indices)]))


def _receive(pipe: IO[bytes], number: int) -> Iterator[Image.Image | InputError]:
    """Receive the pages that the other process draws."""
    for index in range(number):
        line = pipe.readline(50)
        if line == b"damaged\n":
            yield InputError("is a damaged page")
        elif not line:
            rest = "" if index == number - 1 else "; the pages after it are not read"
            yield InputError(f"is a page that cannot be drawn within {LIMITS}{rest}")
            return
        else:
            width, height, row_bytes = map(int, line.split())
            yield Image.frombytes("RGB", (width, height), pipe.read(row_bytes * height), "raw", "RGB", row_bytes)
