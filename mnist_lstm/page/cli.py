"""``mnist-lstm page``: write one HTML file in which to draw digits and watch the network read them."""

import argparse
from pathlib import Path

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

    from mnist_lstm.inference.classifier import load_classifier
    from mnist_lstm.page.build import build_page, load_card, one_of_each

    classifier = load_classifier(checkpoint)
    count = sum(weight.numel() for weight in classifier.network.parameters())
    if count > MAX_WEIGHTS:
        raise InputError(f"--ckpt_path {checkpoint}: has {count:,} weights; the page takes up to {MAX_WEIGHTS:,}")
    page = build_page(classifier.network, load_card(checkpoint), one_of_each(), classifier.temperature)
    with open_new(path, "FILE.html") as file:
        file.write(page)
    print(f"wrote  {printable(str(path))}  ({len(page.encode('utf-8')) / 1e6:.1f} MB)")
    print("open   with a double click, or drag it into a browser; it works without the internet")
    return 0
