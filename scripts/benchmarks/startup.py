"""Time whole processes, from their start to their answer."""

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

COMMAND = ("-m", "mnist_lstm")
"""What Python runs as mnist-lstm."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder, "one.png")
        pixels = np.full((60, 40), 255, dtype=np.uint8)
        pixels[10:50, 18:22] = 0
        Image.fromarray(pixels).save(picture)
        programs = {
            "import torch": ["-c", "import torch"],
            "mnist-lstm --help": [*COMMAND, "--help"],
            "mnist-lstm classify one.png": [*COMMAND, "classify", str(picture)],
            "mnist-lstm fit --help": [*COMMAND, "fit", "--help"],
        }
        pairs = [(name, "import torch") for name in list(programs)[1:]]
        if options.onnx is not None:
            with_onnx = "... with onnxruntime"
            programs[with_onnx] = [*programs["mnist-lstm classify one.png"], "--ckpt_path", options.onnx]
            pairs.append((with_onnx, "mnist-lstm classify one.png"))
        candidates: dict[str, Callable[[], object]] = {
            name: functools.partial(_run, args) for name, args in programs.items()
        }
        times = measure.interleave(candidates, options.rounds)
    ratios = measure.report(times, pairs)
    return {"times": times, "ratios": ratios}


def _run(args: list[str]) -> None:
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)
