"""Put the page together: one HTML text with its style, its scripts, and a network's weights.

The scripts in ``static`` are ES modules, so that they can be read, imported and tested one by one. A page that is
opened from a disk may not load modules, so their texts are joined, each after those that it imports, in one function:
names are unique in all of them. The worker's script, with the network, is a text of its own, ``#worker``, which the
page starts from a blob address, as a page from a disk may not load a worker either.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.format import MEAN, STD
from mnist_lstm.errors import InputError
from mnist_lstm.explain.cli import OTHERS
from mnist_lstm.explain.units import choose_units
from mnist_lstm.inference import THRESHOLD
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.inference.torch_backend import read_card
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import is_by_pixel

STATIC = Path(__file__).parent / "static"

GATES = {"lstm": "ifgoch", "gru": "rznh", "rnn": "h"}
"""Names of the values in each cell's equations, in the order of `mnist_lstm.network.cells`."""

OPTIONS = (
    *("cell", "input_size", "hidden_size", "num_layers", "bidirectional"),
    *("pooling", "deskew", "scan_order", "gradient_features", "num_classes"),
)
"""Those of `mnist_lstm.network.options.NetworkOptions` that matter for reading."""

IMPORT = re.compile(r'^import\s*\{[^}]*\}\s*from\s*"([^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.MULTILINE)
DECLARED = re.compile(r"^(?:async )?(?:function\*?|class|const|let|var) (\w+)", re.MULTILINE)


def build_page(
    network: RowLSTM,
    card: dict[str, Any],
    digits: npt.NDArray[np.uint8],
    temperature: float = 1.0,
    *,
    takes_photographs: bool = False,
) -> str:
    """Return the page's HTML.

    Args:
        network: for digits, reading rows or columns.
        card: of its weights; empty if there is none.
        digits: ``(N, 28, 28)``, to be shown and read before anything is drawn.
        temperature: by which the logits are divided.
        takes_photographs: ask the server that the page comes from to find the digits in photographs.

    Raises:
        InputError: the network reads pixel by pixel, or its weights are too large for float16.
    """
    style = _text("style.css") + (_text("photographs.css") if takes_photographs else "")
    script = join_modules(STATIC / ("served.js" if takes_photographs else "main.js"))
    server = "img-src data: blob:; connect-src 'self'" if takes_photographs else "img-src data:"
    policy = (
        f"default-src 'none'; script-src {allowed(script)}; worker-src blob:; style-src {allowed(style)}; "
        f"{server}; base-uri 'none'; form-action 'none'"
    )
    # data may not end the element that it is in
    model = json.dumps(describe(network, card, digits, temperature), separators=(",", ":")).replace("<", "\\u003c")
    page = _text("page.html")
    for place, content in (
        ('<meta charset="utf-8">', f'\n<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        ('<link rel="stylesheet" href="style.css">', f"<style>{style}</style>"),
        (
            '<script type="module" src="main.js"></script>',
            f'<script type="application/json" id="model">{model}</script>\n'
            f'<script type="text/plain" id="worker">\n{join_modules(STATIC / "worker.js")}</script>\n'
            f"<script>{script}</script>",
        ),
    ):
        if page.count(place) != 1:
            raise ValueError(f"page.html must have one {place}")
        page = page.replace(place, place + content if place.startswith("<meta") else content)
    return page


def describe(
    network: RowLSTM, card: dict[str, Any], digits: npt.NDArray[np.uint8], temperature: float
) -> dict[str, Any]:
    """Return what the page must know of a network, as plain data; arguments as for `build_page`."""
    options = asdict(network.options)
    if is_by_pixel(network.options.scan_order):
        raise InputError(
            f"scan_order {network.options.scan_order}: the page shows networks that read rows or columns; this one "
            "reads pixel by pixel; mnist-lstm explain shows those as well"
        )
    weights: dict[str, dict[str, Any]] = {}
    parts, offset = [], 0
    for name, weight in network.state_dict().items():
        half = weight.detach().cpu().to(torch.float16)
        if not bool(torch.isfinite(half).all()):
            raise InputError(f"{name} holds values above {torch.finfo(torch.float16).max:g}, too large for the page")
        weights[name] = {"shape": list(half.shape), "offset": offset}
        parts.append(half.numpy().astype("<f2").tobytes())
        offset += half.numel()
    return {
        "version": version("mnist-lstm"),
        "accuracy": card.get("test_acc"),
        "options": {name: options[name] for name in OPTIONS},
        "temperature": temperature,
        "threshold": THRESHOLD,
        "mean": MEAN,
        "std": STD,
        "weights": weights,
        "data": _base64(b"".join(parts)),
        "units": _order_units(network),
        "digits": _base64(np.ascontiguousarray(digits, dtype=np.uint8).tobytes()),
        "gates": GATES[network.options.cell],
    }


def _order_units(network: RowLSTM) -> list[dict[str, Any]]:
    """Return the order in which to draw the units of each layer and direction."""
    images = torch.tensor(load_sklearn_digits()[0][:OTHERS])
    layers = range(1, network.options.num_layers + 1)
    chosen = choose_units(network, images, layers, ("forward", "backward"), number=0)
    return [{"layer": each.layer, "direction": each.direction, "order": each.units.tolist()} for each in chosen]


def load_card(checkpoint: Path | None) -> dict[str, Any]:
    """Return the card of the package's weights; an empty one for a checkpoint."""
    return read_card(PRETRAINED) if checkpoint is None else {}


def one_of_each() -> npt.NDArray[np.uint8]:
    """Return one of scikit-learn's digits of each class: ``(10, 28, 28)``."""
    images, labels = load_sklearn_digits()
    return images[[int((labels == digit).argmax()) for digit in range(10)]]


def join_modules(entry: Path) -> str:
    """Join a module and all that it imports to one script, in a function of its own."""
    texts = {path: path.read_text(encoding="utf-8") for path in _in_order(entry)}
    code = "\n".join(EXPORT.sub("", IMPORT.sub("", text)).strip() + "\n" for text in texts.values())
    if left := re.search(r"^(?:import|export)\b.*", code, re.MULTILINE):
        raise ValueError(f"{entry.name}: cannot join {left[0]!r}")
    names = DECLARED.findall(code)
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{entry.name}: declared twice: {', '.join(sorted(twice))}")
    if re.search(r"</script|<!--", code, re.IGNORECASE):
        raise ValueError(f"{entry.name}: its code would end the element that it is in")
    return f'"use strict";\n(() => {{\n{code}}})();\n'


def _in_order(entry: Path, before: Iterable[Path] = ()) -> list[Path]:
    """Return a module and all that it imports, each after those that it imports."""
    done = list(before)
    if entry not in done:
        for name in IMPORT.findall(entry.read_text(encoding="utf-8")):
            done = _in_order((entry.parent / name).resolve(), done)
        done.append(entry)
    return done


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def allowed(code: str) -> str:
    """Return the source expression that allows exactly this inline script or style."""
    return f"'sha256-{_base64(hashlib.sha256(code.encode('utf-8')).digest())}'"
