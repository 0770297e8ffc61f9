"""Thousands of pictures in one call of ``classify``: memory stays flat.

MNIST_LSTM_PICTURES=20000 pytest -n 0 -m slow -rP tests/inference/test_memory.py
"""

import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from drawing import STROKES, draw
from PIL import Image

PICTURES = int(os.environ.get("MNIST_LSTM_PICTURES", "4000"))
MAX_MIB = 30  # that memory may grow by after the first fifth of the pictures


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc, to measure memory")  # noqa: PTH110
def test_memory_stays_flat_over_many_pictures() -> None:
    folder = Path("pictures")
    folder.mkdir()
    for digit in STROKES:
        Image.fromarray(draw(digit, height=20, width=2, size=(28, 28), ink=255, paper=0)).save(f"{digit}.png")
    for n, digit in zip(range(PICTURES), itertools.cycle(STROKES), strict=False):
        os.link(f"{digit}.png", folder / f"{n:06}.png")
    held: list[tuple[int, float]] = []  # after so many answers, MiB
    with Path("answers").open("w") as answers:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "mnist_lstm", "classify", "pictures", "--format=json"], stdout=answers
        )
        while process.poll() is None:
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            if found:
                held.append((Path("answers").read_bytes().count(b"\n"), int(found[1]) / 1024))
            time.sleep(0.2)
    done = Path("answers").read_text().splitlines()
    assert (process.returncode, len(done)) == (0, PICTURES)
    early = [mib for answers, mib in held if 0 < answers <= PICTURES // 5]
    late = [mib for answers, mib in held if answers > PICTURES // 5]
    print(f"{PICTURES:,} pictures: {max(early):.0f} MiB at most in the first fifth, {max(late):.0f} MiB after it")
    assert max(late) - np.max(early) <= MAX_MIB
