"""``mnist-lstm page``: write one HTML file in which to draw digits and watch the network read them."""

import argparse
import json
from pathlib import Path
from typing import Any

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, open_new, refuse_existing

NAME = "mnist-lstm.html"

DESCRIPTION = """\
Write one HTML file in which you draw a digit and watch the network read it, row by row.

The file holds everything: network, scripts and style. It needs no server and no internet; open it in any browser, send
it to a phone, or put it on any web site. A file that exists is never overwritten.
"""

EPILOG = """\
examples:
  mnist-lstm page
  mnist-lstm page my-network.html --ckpt_path best
"""

MAX_WEIGHTS = 20_000_000  # a page of 54 MB, which a browser reads in seconds


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm page", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    add("file", nargs="?", default=NAME, metavar="FILE.html", help=f"file to write; default: {NAME}")
    weights = "checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package"
    add("--ckpt_path", metavar="FILE", help=weights)
    return result


def run(args: list[str]) -> int:
    """Write the page with the arguments after ``page``; return 0."""
    options = parser().parse_args(args)
    path = Path(options.file)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: must end in .html, so that a browser opens it")
    refuse_existing(path, "FILE.html")
    checkpoint = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))

    from mnist_lstm.inference.classifier import PRETRAINED, load_classifier
    from mnist_lstm.page.build import build_page

    classifier = load_classifier(checkpoint)
    count = sum(weight.numel() for weight in classifier.network.parameters())
    if count > MAX_WEIGHTS:
        raise InputError(f"--ckpt_path {checkpoint}: has {count:,} weights; the page takes up to {MAX_WEIGHTS:,}")
    card: dict[str, Any] = {}
    if checkpoint is None:
        card = json.loads(PRETRAINED.with_name("card.json").read_text(encoding="utf-8"))
    page = build_page(classifier.network, card, _one_of_each(), classifier.temperature)
    with open_new(path, "FILE.html") as file:
        file.write(page)
    print(f"wrote  {printable(str(path))}  ({len(page.encode('utf-8')) / 1e6:.1f} MB)")
    print("open   with a double click, or drag it into a browser; it works without the internet")
    return 0


def _one_of_each() -> Any:
    """Return one of scikit-learn's digits of each class: uint8 ``(10, 28, 28)``."""
    from mnist_lstm.data.datasets import load_sklearn_digits

    images, labels = load_sklearn_digits()
    return images[[int((labels == digit).argmax()) for digit in range(10)]]
