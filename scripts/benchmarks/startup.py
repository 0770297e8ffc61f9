"""Start programs, from nothing to their answer."""

import argparse
import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import measure

COMMAND = "import sys; from mnist_lstm.cli import main; sys.exit(main(sys.argv[1:]))"
"""What the mnist-lstm program does."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, print, and return what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "one.png")
        pixels = np.full((60, 40), 255, dtype=np.uint8)
        pixels[10:50, 18:22] = 0
        Image.fromarray(pixels).save(picture)
        programs = {
            "import torch": ["import torch"],
            "mnist-lstm --help": [COMMAND, "--help"],
            "mnist-lstm classify one.png": [COMMAND, "classify", str(picture)],
            "mnist-lstm fit --help": [COMMAND, "fit", "--help"],
        }
        candidates: dict[str, Callable[[], object]] = {
            name: functools.partial(_start, code) for name, code in programs.items()
        }
        times = measure.interleave(candidates, options.rounds)
    measure.print_times(times)
    ratios = [measure.compare(times, name, "import torch") for name in list(programs)[1:]]
    measure.print_ratios(ratios)
    return {"times": times, "ratios": ratios}


def _start(code: list[str]) -> None:
    subprocess.run([sys.executable, "-c", *code], check=True, stdout=subprocess.DEVNULL)
