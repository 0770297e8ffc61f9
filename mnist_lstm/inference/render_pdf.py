"""Draw the pages of the PDF file on standard input; a program of its own, which `pdf` starts.

Writes ``damaged``, ``password`` or the number of pages as a line; then for each page the line ``damaged``, or a line
with width, height and bytes per row, and the rows in RGB. It ends at once if one page takes too long, or if all need
too much memory. The arguments are pixels on the longer side, seconds per page, bytes, and which pages to draw:
start, stop and step.
"""

import contextlib
import faulthandler
import signal
import sys

import pypdfium2


def main(side: int, seconds: int, memory: int, *wanted: int) -> None:
    """Draw the pages ``slice(*wanted)``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl+C ends it while a page is drawn as well
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows, or a lower limit is in force
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        document = pypdfium2.PdfDocument(sys.stdin.buffer)
    except pypdfium2.PdfiumError as error:
        _write(b"password" if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD else b"damaged")
        return
    _write(b"%d" % len(document))
    for index in range(len(document))[slice(*wanted)]:
        faulthandler.dump_traceback_later(seconds, exit=True)
        try:
            page = document[index]
            bitmap = page.render(scale=side / max(page.get_size()), rev_byteorder=True)
        except (pypdfium2.PdfiumError, ValueError, ArithmeticError):
            _write(b"damaged")
            continue
        faulthandler.cancel_dump_traceback_later()  # how long the reader takes is its own affair
        _write(b"%d %d %d" % (bitmap.width, bitmap.height, bitmap.stride), bytes(bitmap.buffer))
        page.close()


def _write(line: bytes, data: bytes = b"") -> None:
    sys.stdout.buffer.write(line + b"\n" + data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
