"""``mnist-lstm classify``: what it takes, and how it tells what it has found."""

import argparse
import csv
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mnist_lstm.errors import printable
from mnist_lstm.inference import THRESHOLD

if TYPE_CHECKING:
    from mnist_lstm.inference.classify import Classifier, Prediction
    from mnist_lstm.inference.sources import Source

DESCRIPTION = """\
Name the digit in each picture.

A picture is a PNG, JPEG, BMP, GIF, TIFF, WebP or PNM file of up to 64 megapixels (WebP: 16), with a digit dark on light
or light on dark, anywhere in it. A folder stands for the pictures in it, sorted by name; - is a picture on standard
input. IDX files such as MNIST's (.gz too) and NumPy files (.npy) hold many pictures.
"""

EPILOG = """\
status: ok; unsure: the probability is below --threshold; empty: there is nothing in the picture; several: it holds
several digits (see --split); error: it could not be read.

exit code: 0; 2 if any picture could not be read (the others are classified all the same), or an option, the checkpoint
or the folder cannot be used; 1 if something fails.

examples:
  mnist-lstm classify seven.jpg
  mnist-lstm classify photos/ --format csv > answers.csv
  mnist-lstm classify house-number.png --split --show seen
  mnist-lstm classify t10k-images-idx3-ubyte.gz --limit 10 --format json
"""

PATIENCE_S = 0.5
"""Answers wait for a full batch of pictures no longer than this."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(
        "mnist-lstm classify",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument("pictures", nargs="+", metavar="PICTURE", help="file, folder, or - for standard input")
    result.add_argument(
        "--ckpt_path",
        metavar="FILE",
        help="checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package",
    )
    result.add_argument(
        "--format",
        choices=("table", "json", "csv"),
        default="table",
        help="table (default); json: an object a line; csv: with a header",
    )
    result.add_argument("--limit", type=_count, metavar="N", help="take the first N pictures of an array file")
    result.add_argument(
        "--threshold",
        type=_share,
        default=THRESHOLD,
        metavar="P",
        help=f"probability below which a digit is unsure ({THRESHOLD})",
    )
    result.add_argument("--split", action="store_true", help="read several digits in a picture, from left to right")
    result.add_argument(
        "--show", metavar="DIR", help="write what the network saw, beside each picture, into this new or empty folder"
    )
    return result


def run(args: list[str]) -> int:
    """Classify.

    Args:
        args: the command line behind ``classify``.

    Returns:
        0, or 2 if any picture could not be read.

    Raises:
        InputError: the checkpoint or the folder for ``--show`` cannot be used.
    """
    options = parser().parse_args(args)

    from mnist_lstm.runs import empty_folder, find_checkpoint

    show = None if options.show is None else empty_folder("--show", options.show)

    from mnist_lstm.inference.classify import load_classifier
    from mnist_lstm.inference.sources import expand
    from mnist_lstm.inference.view import draw_view

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may not be in the terminal's alphabet
    # oddities in files that can be read all the same
    warnings.filterwarnings("ignore", module=r"PIL\.")
    path = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))
    classifier = load_classifier(path, threshold=options.threshold)
    files = expand(options.pictures)
    tell = _WRITERS[options.format](sys.stdout, [_file_name(file) for file in files])
    number = failed = 0
    for batch in _answers(classifier, files, options):
        for source, prediction in batch:
            if prediction.status == "error":
                failed += 1
                print(f"mnist-lstm: error: {source.name}: {printable(prediction.message)}", file=sys.stderr)
            tell(source, prediction)
            if show is not None and source.image is not None:
                name = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(source.file).stem)[:100]
                draw_view(source.image, prediction).save(show / f"{number:05d}-{name}.png")
            number += 1
        sys.stdout.flush()
    return 2 if failed else 0


def _answers(
    classifier: "Classifier", files: "list[str | Source]", options: argparse.Namespace
) -> "Iterator[list[tuple[Source, Prediction]]]":
    """Classify batch by batch, in the order of the pictures."""
    import torch

    from mnist_lstm.inference.classify import BATCH_SIZE, FEW

    # pictures that are to be shown are kept until then
    batches = _batches(files, options.limit, FEW if options.show else BATCH_SIZE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    number = 0
    try:
        # an interruption would wait for a thread that waits for standard input
        for sources, prepared in batches if "-" in files else _one_ahead(batches):
            number += len(sources)
            if number > FEW:
                torch.set_num_threads(threads)
            predictions = iter(classifier.predict(prepared, split=options.split))
            yield [(source, _error(source) if source.levels is None else next(predictions)) for source in sources]
    finally:
        torch.set_num_threads(threads)


Batch = tuple[list["Source"], list[Any]]


def _batches(files: "list[str | Source]", limit: int | None, size: int) -> Iterator[Batch]:
    """Read, and hand out what there is when a batch is full or `PATIENCE_S` is over."""
    from mnist_lstm.inference.classify import prepare
    from mnist_lstm.inference.sources import read

    sources: list[Source] = []
    prepared: list[Any] = []
    due = time.monotonic() + PATIENCE_S
    for source in read(files, limit):
        sources.append(source)
        if source.levels is not None:
            prepared.append(prepare(source.levels))
        if len(sources) == size or time.monotonic() > due:
            yield sources, prepared
            sources, prepared = [], []
            due = time.monotonic() + PATIENCE_S
    if sources:
        yield sources, prepared


def _one_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Read the next batch in a thread, while the network works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _error(source: "Source") -> "Prediction":
    from mnist_lstm.inference.classify import Prediction

    return Prediction(None, None, None, "error", source.message)


# what is written

Writer = Callable[["Source", "Prediction"], None]


def _table(out: TextIO, names: list[str]) -> Writer:
    """Write columns; they are as wide as the names that are known, since the answers come one by one."""
    wide = min(max(map(len, [*names, "picture"])), 48)
    print(f"{'picture':<{wide}}  digit  probability  second choice", file=out)

    def tell(source: "Source", prediction: "Prediction") -> None:
        name = f"{source.name:<{wide}}"
        note = {"ok": "", "unsure": "unsure", "error": "error"}.get(
            prediction.status, f"{prediction.status}: {prediction.message}"
        )
        if prediction.probability is None:
            print(f"{name}      -            -  {note}", file=out)
            return
        assert prediction.probabilities is not None
        second = ""
        if not isinstance(prediction.digit, str):
            order = sorted(range(10), key=prediction.probabilities.__getitem__, reverse=True)
            second = f"{order[1]}  {_percent(prediction.probabilities[order[1]])}"
        share = _percent(prediction.probability)
        print(f"{name}  {prediction.digit:>5}  {share:>11}  {second:<13}  {note}".rstrip(), file=out)

    return tell


def _percent(share: Any) -> str:
    return f"{100 * share:.2f} %"


def _json(out: TextIO, names: list[str]) -> Writer:
    def tell(source: "Source", prediction: "Prediction") -> None:
        row = {
            "file": source.file,
            "index": source.index,
            "digit": prediction.digit,
            "probability": prediction.probability,
            "probabilities": prediction.probabilities,
            "status": prediction.status,
            "message": prediction.message,
        }
        print(json.dumps(row), file=out)

    return tell


def _csv(out: TextIO, names: list[str]) -> Writer:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["file", "index", "digit", "probability", "status", "message", *(f"p{digit}" for digit in range(10))]
    )

    def tell(source: "Source", prediction: "Prediction") -> None:
        # of a string of digits, the probabilities of each do not fit into one row; json has them
        single = prediction.probabilities if not isinstance(prediction.digit, str) else None
        writer.writerow(
            [
                printable(source.file),
                source.index,
                prediction.digit,
                _rounded(prediction.probability),
                prediction.status,
                prediction.message,
                *(_rounded(share) for share in single or [None] * 10),
            ]
        )

    return tell


def _rounded(share: object) -> str:
    return f"{share:.6f}" if isinstance(share, float) else ""


_WRITERS: dict[str, Callable[[TextIO, list[str]], Writer]] = {"table": _table, "json": _json, "csv": _csv}


def _file_name(file: "str | Source") -> str:
    return printable(str(getattr(file, "file", file)))


# what is taken


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a number between 0 and 1")
    return share
