"""Damage pictures, arrays and checkpoints at random; check that each gives an answer or an `InputError`.

    python tests/fuzz.py 5000

Each case may take `MAX_SECONDS`, and memory may grow by `MAX_MIB`. Run in a process of its own: the peak of memory is
that of the whole process. A PDF page is drawn in another process, which has limits of its own.
"""

import gzip
import io
import json
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pillow_heif
import torch
from PIL import Image

from mnist_lstm.errors import InputError
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.inference.sources import expand, read

MAX_SECONDS = 1.0
MAX_MIB = 300


def seeds() -> dict[str, bytes]:
    """Return one valid file of each kind."""
    drawn = np.full((48, 40), 230, dtype=np.uint8)
    drawn[8:40, 18:22] = 30
    grey = Image.fromarray(drawn)
    files = {}
    for name, image in {
        "PNG": grey,
        "PNG RGBA": grey.convert("RGBA"),
        "PNG P": grey.convert("P"),
        "PNG 16": Image.fromarray(drawn.astype(np.uint16) * 257),
        "JPEG": grey.convert("RGB"),
        "JPEG CMYK": grey.convert("CMYK"),
        "BMP": grey.convert("RGB"),
        "GIF": grey,
        "TIFF": grey,
        "TIFF F": Image.fromarray(drawn.astype(np.float32)),
        "WEBP": grey.convert("RGB"),
        "PPM": grey.convert("RGB"),
        "AVIF": grey.convert("RGB"),
        "PDF": grey,
    }.items():
        buffer = io.BytesIO()
        image.save(buffer, name.split()[0])
        files[name] = buffer.getvalue()
    buffer = io.BytesIO()
    grey.save(buffer, "TIFF", compression="tiff_lzw")
    files["TIFF LZW"] = buffer.getvalue()
    buffer = io.BytesIO()
    grey.save(buffer, "TIFF", save_all=True, append_images=[grey, grey])
    files["TIFF, 3 pages"] = buffer.getvalue()
    buffer = io.BytesIO()
    pillow_heif.from_pillow(grey.convert("RGB")).save(buffer)
    files["HEIC"] = buffer.getvalue()
    for dtype in (np.uint8, np.float32):
        buffer = io.BytesIO()
        np.save(buffer, np.stack([drawn] * 3).astype(dtype))
        files[f"npy {dtype.__name__}"] = buffer.getvalue()
    files["idx"] = bytes([0, 0, 8, 3]) + struct.pack(">3I", 3, 48, 40) + drawn.tobytes() * 3
    files["idx.gz"] = gzip.compress(files["idx"], mtime=0)
    files["checkpoint"] = PRETRAINED.read_bytes()
    return files


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file at random: single bytes, runs of bytes, its length, or numbers in its header."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.integers(6)
        at = int(rng.integers(len(damaged))) if damaged else 0
        near_start = int(rng.integers(min(64, len(damaged)))) if damaged else 0
        if kind == 0:
            damaged[at : at + 1] = rng.bytes(1)
        elif kind == 1:
            damaged[near_start : near_start + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
        elif kind == 2:
            del damaged[at:]
        elif kind == 3:
            damaged[at : at + int(rng.integers(1, 32))] = rng.bytes(int(rng.integers(1, 32)))
        elif kind == 4:
            damaged[near_start : near_start + 1] = rng.bytes(1)
        else:
            damaged += damaged[at : at + 64]
    return bytes(damaged)


def peak_mib() -> float:
    """Return the peak of this process's memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(cases: int, seed: int) -> dict[str, object]:
    """Run the cases; return the number of answers and errors, the slowest time and the growth of memory."""
    warnings.simplefilter("ignore")  # Pillow warns of defects in files that it can still read
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    files = seeds()
    names = list(files)
    classifier = load_classifier()
    outcomes: Counter[str] = Counter()
    slowest, base = 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case"
        for case in range(-len(names), cases):
            # negative cases are the valid files: they must be read, and warm up
            name = names[case % len(names)]
            path.write_bytes(files[name] if case < 0 else mutate(files[name], rng))
            start = time.process_time()
            if name == "checkpoint":
                try:
                    load_classifier(path)(np.zeros((1, 28, 28), dtype=np.uint8))
                    outcome = "answer"
                except InputError:
                    outcome = "error"
            else:
                sources = list(read(expand([str(path)])))
                classifier([source.levels for source in sources if source.levels is not None])
                outcome = "error" if any(source.message for source in sources) else "answer"
            if case < 0:
                assert outcome == "answer", f"{name}: {outcome}"
                base = peak_mib()
                continue
            outcomes[outcome] += 1
            slowest = max(slowest, time.process_time() - start)
            assert slowest <= MAX_SECONDS, f"case {case} ({name}) took {slowest:.2f} s"
    grown = peak_mib() - base
    assert grown <= MAX_MIB, f"memory grew by {grown:.0f} MiB"
    return {"cases": cases, **outcomes, "slowest_s": round(slowest, 3), "grown_mib": round(grown)}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
