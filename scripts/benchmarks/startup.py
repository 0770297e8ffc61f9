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
        photo = Path(folder, "photo.jpg")
        _draw_photo().save(photo, quality=92)
        programs = {
            "import torch": ["-c", "import torch"],
            "mnist-lstm --help": [*COMMAND, "--help"],
            "mnist-lstm classify one.png": [*COMMAND, "classify", str(picture)],
            "mnist-lstm classify photo.jpg, 12 megapixels": [*COMMAND, "classify", str(photo)],
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


def _draw_photo() -> Image.Image:
    """Draw a 1 on a sheet in uneven light, with the noise of a camera."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:3000, :4000].astype(np.float32)
    light = 215 - 70 * np.hypot(x - 1500, y - 1200) / 3000
    light[900:2000, 1800:1880] = 60
    noisy = light[..., None] + rng.normal(0, 6, (3000, 4000, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _run(args: list[str]) -> None:
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)
