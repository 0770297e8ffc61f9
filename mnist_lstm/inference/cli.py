"""``mnist-lstm classify``: parse the command line, classify pictures and write the answers."""

import argparse
import io
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import empty_folder, find_checkpoint, open_new
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.shard import Shard
from mnist_lstm.inference.writers import WRITERS

if TYPE_CHECKING:
    from mnist_lstm.inference.outputs import Output
    from mnist_lstm.inference.sources import File, Source

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
  mnist-lstm classify scans/ --format csv --output 2.csv --resume --shard 2/8

many pictures:
  Files in a folder go to shards by their names, of an array file or a file of
  several pages that is named itself each image does. So every picture is in
  one shard, on every machine, and a new file moves no other. With n doubled,
  shards i and i + n share what was in i. On one machine with n cores, start n
  commands with OMP_NUM_THREADS=1.
"""

PROGRESS_S = 10
"""Between two lines on standard error."""


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
    kinds = (
        "aligned table, one JSON object per line, CSV with a header, or, with --output, a folder of Parquet files "
        "(default: table)"
    )
    add("--format", choices=(*WRITERS, "parquet"), default="table", help=kinds)
    add(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the answers to a new file (parquet: folder), not to the screen",
    )
    resume = (
        "continue FILE if a run was killed while writing it: give its command again; what is in FILE is not read again"
    )
    add("--resume", action="store_true", help=resume)
    shard = (
        "read part i of n, the rest is left to others: give n machines the same command, each with its own i, from 1, "
        "and its own --output"
    )
    add("--shard", type=Shard.parse, metavar="i/n", help=shard)
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
    _check(options)
    show = None if options.show is None else empty_folder("--show", options.show)

    from mnist_lstm.inference.batches import classify_batches
    from mnist_lstm.inference.classifier import load_classifier
    from mnist_lstm.inference.rest import read_rest
    from mnist_lstm.inference.sources import expand
    from mnist_lstm.inference.view import draw_view

    tolerate_odd_files()
    path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
    if options.backend == "onnx" and path is None:
        raise InputError("--backend onnx: name a file with --ckpt_path; mnist-lstm export FILE.onnx makes one")
    classifier = load_classifier(path, threshold=options.threshold, backend=options.backend)
    files: Iterable[File | Source] = expand(
        options.pictures, recursive=options.recursive, note=_print_note, shard=options.shard
    )
    if options.format == "table":
        files = list(files)  # its columns are as wide as their names
    progress = Progress(options.output)
    number = 0
    with _open_output(options, files) as output:
        sources = read_rest(files, output.done(), options.limit, str(options.output))
        for batch in classify_batches(
            classifier,
            sources,
            split=options.split,
            stages=show is not None,
            read_ahead="-" not in options.pictures,
        ):
            for source, prediction in batch:
                if prediction.status == "error":
                    output.has_errors = True
                    print(f"mnist-lstm: error: {source.name}: {printable(prediction.message)}", file=sys.stderr)
                output.write(source, prediction)
                if show is not None and source.image is not None:
                    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(source.file).stem)[:100]
                    with open_new(show / f"{number:05d}-{name}.png", "--show", binary=True) as file:
                        draw_view(source.image, prediction).save(file, "PNG")
                number += 1
            output.flush()
            progress.add(len(batch))
    progress.end()
    return 2 if output.has_errors else 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.output is None:
        if options.format == "parquet" or options.resume:
            raise InputError(f"{'--resume' if options.resume else '--format parquet'}: name the output with --output")
    elif options.format == "table":
        raise InputError("--output: name its format, --format csv, json or parquet")
    if "-" in options.pictures and (options.shard or options.resume):
        raise InputError(
            f"{'--shard' if options.shard else '--resume'}: standard input cannot be read again; name files"
        )


def _open_output(options: argparse.Namespace, files: "Iterable[File | Source]") -> "Output":
    from mnist_lstm.inference.outputs import StandardOutput, TextOutput

    if options.output is None:
        return StandardOutput(
            options.format, [printable(file.file) for file in files] if options.format == "table" else []
        )
    if options.format != "parquet":
        return TextOutput(options.output, options.format, resume=options.resume)
    from mnist_lstm.inference.parquet import ParquetOutput

    return ParquetOutput(options.output, split=options.split, resume=options.resume)


class Progress:
    """Print the number of pictures and their rate to standard error, where answers go to a file."""

    def __init__(self, output: Path | None) -> None:
        self._output = output
        self._number = 0
        self._start = self._last = time.monotonic()

    def add(self, number: int) -> None:
        """Count pictures; print a line if `PROGRESS_S` have passed since the last one."""
        self._number += number
        if time.monotonic() - self._last > PROGRESS_S:
            self.end()

    def end(self) -> None:
        """Print a line."""
        self._last = time.monotonic()
        if self._output is not None:
            rate = self._number / max(self._last - self._start, 1e-6)
            _print_note(f"{printable(str(self._output))}: {self._number:,} pictures read, {rate:.0f} a second")


def _print_note(text: str) -> None:
    print(f"mnist-lstm: {text}", file=sys.stderr)


def tolerate_odd_files() -> None:
    """Escape what the terminal cannot show of a file name; silence Pillow's warnings of defects that it repairs."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)
