"""Write the answers of ``mnist-lstm classify`` as a table, JSON lines or CSV."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from mnist_lstm.console import printable

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Prediction
    from mnist_lstm.inference.sources import Source

SHARES = [f"p{digit}" for digit in range(10)]
CSV_COLUMNS = ["file", "index", "digit", "probability", "status", "message", *SHARES]
CSV_HEADER = ",".join(CSV_COLUMNS) + "\n"

Writer = Callable[["Source", "Prediction"], None]  # writes the answer for one picture


def _table(out: TextIO, names: list[str]) -> Writer:
    # answers are written one by one: the width can only depend on the names that are known at the start
    width = min(max(map(len, [*names, "picture"])), 48)
    print(f"{'picture':<{width}}  digit  probability  second choice", file=out)

    def write(source: "Source", prediction: "Prediction") -> None:
        if prediction.probability is None:
            reason = "" if prediction.status == "error" else f": {prediction.message}"  # errors are printed apart
            print(f"{source.name:<{width}}  {'-':>5}  {'-':>11}  {prediction.status}{reason}", file=out)
            return
        probability = f"{100 * prediction.probability:.2f} %"
        second = ""
        if isinstance(prediction.digit, int):
            shares: Any = prediction.probabilities
            other = sorted(range(10), key=shares.__getitem__, reverse=True)[1]
            second = f"{other}  {100 * shares[other]:.2f} %"
        note = "" if prediction.status == "ok" else prediction.status
        line = f"{source.name:<{width}}  {printable(str(prediction.digit)):>5}  {probability:>11}  {second:<13}  {note}"
        print(line.rstrip(), file=out)

    return write


def answer_fields(source: "Source", prediction: "Prediction") -> dict[str, Any]:
    """Return an answer as plain data, as ``--format json`` prints it."""
    names = ("digit", "probability", "probabilities", "status", "message")
    fields = {name: getattr(prediction, name) for name in names}
    boxes = {name: [asdict(box) for box in getattr(prediction, name)] for name in ("boxes", "marks")}
    return {"file": source.file, "index": source.index, **fields, **boxes}


def json_rows(out: TextIO) -> Writer:
    """Write one JSON object per line."""
    return lambda source, prediction: print(json.dumps(answer_fields(source, prediction)), file=out)


def csv_rows(out: TextIO) -> Writer:
    """Write rows that belong below `CSV_HEADER`."""
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")

    def write(source: "Source", prediction: "Prediction") -> None:
        name = printable(source.file)
        if name != "-" and name.startswith(("=", "+", "-", "@")):
            name = f"./{name}"  # the same file, and no formula to a spreadsheet
        row = answer_fields(source, prediction) | {"file": name}
        # the probabilities of several digits do not fit into one row; JSON has them
        if isinstance(prediction.digit, int):
            row |= zip(SHARES, row["probabilities"], strict=True)
        writer.writerow({name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()})

    return write


def _csv(out: TextIO, names: list[str]) -> Writer:
    out.write(CSV_HEADER)
    return csv_rows(out)


WRITERS: dict[str, Callable[[TextIO, list[str]], Writer]] = {
    "table": _table,
    "json": lambda out, names: json_rows(out),
    "csv": _csv,
}
"""By format: takes the output and the names of the pictures, as far as they are known; writes the header."""
