"""Read picture files page by page; files need not be trusted.

TIFF and PDF files may have several pages. Of an animation, the first frame is read; of a HEIC file, the main picture.
"""

import contextlib
import io
import struct
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from mnist_lstm.errors import InputError
from mnist_lstm.inference.pdf import open_pdf
from mnist_lstm.inference.read import MAX_BYTES, Picture, from_image, open_image, reason, too_many_bytes, unreadable

MAX_PAGES = 1000
ALL = range(sys.maxsize)
"""Indices of all pages."""
NEW_SUBFILE_TYPE, NO_PAGE = 254, 1 | 4  # a TIFF tag, and its flags of a preview and of a mask of another page


def read_picture(file: str | Path | BinaryIO) -> Picture:
    """Read a picture from a path, or from an open binary file; the content of a pipe is kept in memory.

    Returns its grey levels and the picture itself, both upright and at most `WORK_SIDE` pixels on the longer side. The
    message of an `InputError` does not name the file.
    """
    with contextlib.closing(iterate_pages(file, 1)) as pages:
        index, page = next(pages)
    if index is not None:
        raise InputError("has several pages; pass read_pages(path), from mnist_lstm.inference.pages, to read them all")
    if isinstance(page, InputError):
        raise page
    return page


def read_pages(path: str | Path, limit: int | None = None) -> Iterator[Image.Image]:
    """Read the pages of a picture file one by one, ``limit`` at most, as images for `Classifier`.

    They are upright, and have at most `WORK_SIDE` pixels on the longer side. An `InputError` names the file and the
    page, from 0.
    """
    name = str(path)
    try:
        for index, page in iterate_pages(path, limit):
            name = str(path) if index is None else f"{path}[{index}]"
            if isinstance(page, InputError):
                raise page
            image = page[1]
            image.info = {}  # an orientation in it must not be applied again
            yield image
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def iterate_pages(
    file: str | Path | BinaryIO, limit: int | None = None, wanted: range = ALL
) -> Generator[tuple[int | None, Picture | InputError]]:
    """Read the pages of a picture file one by one, those ``wanted`` of the first ``limit``, as `read_picture` does.

    Yields the index of each page, from 0, or None in a file of one page; and the page, or why it cannot be read. An
    `InputError` is raised if the whole file cannot be read; it does not name the file.
    """
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(file, (str, Path)):
                # twice as fast as Path.open, for thousands of files
                file = stack.enter_context(open(file, "rb"))  # noqa: PTH123
            elif not file.seekable():
                data = file.read(MAX_BYTES + 1)
                if len(data) > MAX_BYTES:
                    raise too_many_bytes()
                file = io.BytesIO(data)
            head = file.read(64)
            file.seek(0)
            if head.lstrip().startswith(b"%PDF-"):
                last = wanted.stop if limit is None else min(limit, wanted.stop)
                wanted = range(wanted.start, min(last, MAX_PAGES), wanted.step)
                number, images = stack.enter_context(open_pdf(file, wanted))
            else:
                image = open_image(file)
                places = _tiff_pages(file) if image.format == "TIFF" else [0]
                number, images = len(places), _frames(image, places[wanted.start : limit : wanted.step])
            if number > MAX_PAGES and (limit is None or limit > MAX_PAGES):
                raise InputError(f"has more than the maximum of {MAX_PAGES:,} pages; --limit N reads the first N")
            for index, page in zip(wanted, images, strict=False):
                yield (None if number == 1 else index), page if isinstance(page, InputError) else _read(page)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(error) from error


def _read(image: Image.Image) -> Picture | InputError:
    try:
        levels, picture = from_image(image)
        # the next page takes the place of this one in the opened file
        return levels, picture.copy() if picture is image else picture
    except InputError as error:
        return error
    except Exception as error:  # damaged data raise all kinds of exceptions in the decoders
        return InputError(f"is a damaged {image.format or 'PDF'} picture ({reason(error)})")


def _frames(image: Image.Image, places: list[int]) -> Iterator[Image.Image | InputError]:
    """Yield the same image at each of its pages."""
    for place in places:
        try:
            if place:
                image.seek(place)
        except Exception as error:
            yield InputError(f"is a damaged page ({reason(error)})")
        else:
            yield image


def _tiff_pages(file: BinaryIO) -> list[int]:
    """Return which directories of a TIFF file are pages, without previews and masks; stop after `MAX_PAGES` + 1.

    Pillow counts directories as well, but loses the rest of the chain where one is damaged. Each begins with the
    number of its entries, has 12 bytes for each (BigTIFF: 20), and ends with the place of the next directory.
    """
    file.seek(0)
    head = file.read(16)
    order, big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
    number, entry, place = (struct.Struct(order + part) for part in (("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")))
    pages: list[int] = []
    seen: set[int] = set()
    with contextlib.suppress(struct.error, ValueError, OverflowError, OSError):  # cut short, or impossible places
        (at,) = place.unpack_from(head, 8 if big else 4)
        while at and at not in seen and len(seen) <= MAX_PAGES:
            pages.append(len(seen))
            seen.add(at)
            file.seek(at)
            (entries,) = number.unpack(file.read(number.size))
            # entries are sorted by tag, and this is the lowest
            tag, _, _, flags = entry.unpack(file.read(entry.size))
            if len(pages) > 1 and tag == NEW_SUBFILE_TYPE and flags & NO_PAGE:
                pages.pop()
            file.seek(at + number.size + entries * entry.size)
            (at,) = place.unpack(file.read(place.size))
    return pages or [0]
