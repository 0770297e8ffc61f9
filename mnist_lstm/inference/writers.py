"""Write the answers of ``mnist-lstm classify`` as a table, JSON lines or CSV."""

import csv
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from mnist_lstm.console import printable

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Prediction
    from mnist_lstm.inference.sources import Source

Writer = Callable[["Source", "Prediction"], None]
"""Writes the answer for one picture."""


def _table(out: TextIO, names: list[str]) -> Writer:
    # answers are written one by one: the width can only depend on the names that are known at the start
    width = min(max(map(len, [*names, "picture"])), 48)
    print(f"{'picture':<{width}}  digit  probability  second choice", file=out)

    def write(source: "Source", prediction: "Prediction") -> None:
        digit = probability = "-"
        note: str = prediction.status
        second = ""
        if prediction.probability is None:
            second = note if note == "error" else f"{note}: {prediction.message}"
            note = ""
        else:
            digit, probability = str(prediction.digit), _percent(prediction.probability)
            note = "" if note == "ok" else note
            if isinstance(prediction.digit, int):
                shares: Any = prediction.probabilities
                other = sorted(range(10), key=shares.__getitem__, reverse=True)[1]
                second = f"{other}  {_percent(shares[other])}"
        print(f"{source.name:<{width}}  {digit:>5}  {probability:>11}  {second:<13}  {note}".rstrip(), file=out)

    return write


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _json(out: TextIO, names: list[str]) -> Writer:
    def write(source: "Source", prediction: "Prediction") -> None:
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

    return write


def _csv(out: TextIO, names: list[str]) -> Writer:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["file", "index", "digit", "probability", "status", "message", *(f"p{digit}" for digit in range(10))]
    )

    def write(source: "Source", prediction: "Prediction") -> None:
        # the probabilities of several digits do not fit into one row; JSON has them
        single = prediction.probabilities if isinstance(prediction.digit, int) else None
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

    return write


def _rounded(share: object) -> str:
    return f"{share:.6f}" if isinstance(share, float) else ""


WRITERS: dict[str, Callable[[TextIO, list[str]], Writer]] = {"table": _table, "json": _json, "csv": _csv}
"""By format: takes the output and the names of the pictures, as far as they are known; writes the header."""
