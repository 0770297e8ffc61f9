"""``mnist-lstm classify``: parse the command line and classify pictures in batches."""

import argparse
import io
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import empty_folder, find_checkpoint, open_new
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.writers import WRITERS

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Classifier, Prediction
    from mnist_lstm.inference.sources import Source

DESCRIPTION = """\
Print the handwritten digit in each picture.

The digit may be dark on light or light on dark, of any size, and anywhere in
the picture. PICTURE is one of:
  image file  PNG, JPEG, BMP, GIF, TIFF, WebP or PNM of up to 64 megapixels
              (WebP: 16); HEIC, AVIF and PDF after:
              pip install 'mnist-lstm[photos]'
              each page of a TIFF or PDF file is a picture
  folder      all image files in it, sorted by name; what else is in it is
              counted on standard error, and hidden files are left out
  IDX file    many images in MNIST's format, optionally compressed with gzip
  .npy file   NumPy array (N, height, width), (N, height, width, 3 or 4),
              (N, 784), (height, width) or (784,)
  -           one image file from standard input
"""

EPILOG = """\
status:
  ok          the digit was read
  unsure      its probability is below --threshold, or it stands beside
              something large that is no digit
  empty       the picture contains no digit
  several     the picture contains several digits; use --split to read them
  error       the picture cannot be read; standard error has the reason

exit code:
  0           every picture was read
  1           internal error
  2           a picture cannot be read (the others are still classified), or an
              option or the checkpoint is invalid

examples:
  mnist-lstm classify seven.jpg
  mnist-lstm classify photos/ --recursive --format csv > answers.csv
  mnist-lstm classify house-number.png --split --show seen
  mnist-lstm classify t10k-images-idx3-ubyte.gz --limit 10 --format json
  mnist-lstm classify - < seven.jpg
"""

MAX_WAIT_S = 0.5  # an incomplete batch is then classified, so that answers appear while pictures are still being read


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm classify", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    add("pictures", nargs="+", metavar="PICTURE", help="image file, folder, array file, or -")
    weights = (
        "checkpoint of mnist-lstm fit, ONNX file of mnist-lstm export, or last or best of the newest run (default: the "
        "weights in this package)"
    )
    add("--ckpt_path", metavar="FILE", help=weights)
    computes = "what computes: PyTorch or onnxruntime (default: by the file; onnx for a name that ends in .onnx)"
    add("--backend", choices=("torch", "onnx"), help=computes)
    output = "output: aligned table, one JSON object per line, or CSV with a header (default: table)"
    add("--format", choices=tuple(WRITERS), default="table", help=output)
    add("--recursive", action="store_true", help="read the subfolders of a folder as well; links are not followed")
    add("--limit", type=_count, metavar="N", help="read only the first N images or pages of each file")
    unsure = "report digits with a probability below P, 0 to 1, as unsure (default: %(default)s)"
    add("--threshold", type=float, default=THRESHOLD, metavar="P", help=unsure)
    add("--split", action="store_true", help="read several digits per picture, line by line, from left to right")
    inputs = "save each picture, the network's input and how it was found to DIR, which must be new or empty"
    add("--show", metavar="DIR", help=inputs)
    return result


def run(args: list[str]) -> int:
    """Classify with the arguments after ``classify``; return 0, or 2 if a picture cannot be read."""
    options = parser().parse_args(args)
    show = None if options.show is None else empty_folder("--show", options.show)

    from mnist_lstm.inference.classifier import load_classifier
    from mnist_lstm.inference.sources import expand
    from mnist_lstm.inference.view import draw_view

    tolerate_odd_files()
    path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
    if options.backend == "onnx" and path is None:
        raise InputError("--backend onnx: name a file with --ckpt_path; mnist-lstm export FILE.onnx makes one")
    classifier = load_classifier(path, threshold=options.threshold, backend=options.backend)
    files = expand(options.pictures, recursive=options.recursive, note=_print_note)
    write = WRITERS[options.format](sys.stdout, [printable(str(getattr(file, "file", file))) for file in files])
    status = 0
    for number, (source, prediction) in enumerate(_classify(classifier, files, options)):
        if prediction.status == "error":
            status = 2
            print(f"mnist-lstm: error: {source.name}: {printable(prediction.message)}", file=sys.stderr)
        write(source, prediction)
        if show is not None and source.image is not None:
            name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(source.file).stem)[:100]
            with open_new(show / f"{number:05d}-{name}.png", "--show", binary=True) as file:
                draw_view(source.image, prediction).save(file, "PNG")
    return status


def _print_note(text: str) -> None:
    print(f"mnist-lstm: {text}", file=sys.stderr)


def tolerate_odd_files() -> None:
    """Escape what the terminal cannot show of a file name; silence Pillow's warnings of defects that it repairs."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _classify(
    classifier: "Classifier", files: "list[str | Source]", options: argparse.Namespace
) -> "Iterator[tuple[Source, Prediction]]":
    """Classify batch by batch, in the order of the pictures; what was printed about a batch is flushed after it."""
    from mnist_lstm.inference.classifier import BATCH_SIZE, FEW, Prediction

    # with --show, the pictures of a batch stay in memory: read fewer at once
    batches = _batches(files, options.limit, FEW if options.show else BATCH_SIZE)
    backend = classifier.backend
    threads = backend.threads
    backend.threads = 1
    number = 0
    try:
        # Ctrl+C would wait for a thread that is blocked on standard input
        for batch in batches if "-" in files else _one_ahead(batches):
            number += len(batch)
            if number > FEW:
                backend.threads = threads
            found = [found for _, found in batch if found is not None]
            answers = iter(classifier.predict(found, split=options.split, stages=options.show is not None))
            for source, writing in batch:
                unread = Prediction(None, None, None, "error", source.message)
                yield source, unread if writing is None else next(answers)
            sys.stdout.flush()
    finally:
        backend.threads = threads


Batch = list[tuple["Source", Any]]
"""Pictures, each with the result of `prepare`, or None if it cannot be read."""


def _batches(files: "list[str | Source]", limit: int | None, size: int) -> Iterator[Batch]:
    """Read pictures; yield a batch when it is full or `MAX_WAIT_S` has passed."""
    from mnist_lstm.inference.classifier import holds_enough, prepare
    from mnist_lstm.inference.sources import read

    batch: Batch = []
    due = time.monotonic() + MAX_WAIT_S
    for source in read(files, limit):
        batch.append((source, None if source.levels is None else prepare(source.levels)))
        is_full = holds_enough([found for _, found in batch if found is not None])
        if len(batch) == size or is_full or time.monotonic() > due:
            yield batch
            batch = []
            due = time.monotonic() + MAX_WAIT_S
    if batch:
        yield batch


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch in a thread while the network processes the current one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)
