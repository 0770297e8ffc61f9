"""Time candidates in turn, and print medians and ratios.

A shared machine slows down and speeds up, so two times are compared only if they were taken one right after the other:
A B A B ..., a ratio for each round, and the median of the ratios.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mnist_lstm.errors import InputError
from mnist_lstm.files import open_new

Times = dict[str, list[float]]
"""Seconds of each candidate, one per round, in the order of the rounds."""


def interleave(candidates: dict[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> Times:
    """Time every candidate once per round.

    Args:
        candidates: functions by name.
        rounds: number of measured rounds.
        warm_up: number of rounds before them that are not measured.
    """
    times: Times = {name: [] for name in candidates}
    for number in range(warm_up + rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if number >= warm_up:
                times[name].append(time.perf_counter() - start)
    return times


def compare(times: Times, what: str, over: str) -> dict[str, Any]:
    """Return the median, minimum and maximum of the ratio of two candidates, taken round by round."""
    ratios = [a / b for a, b in zip(times[what], times[over], strict=True)]
    return {
        "what": what,
        "over": over,
        "ratio": statistics.median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "rounds": len(ratios),
    }


def report(times: Times, pairs: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Print the time of each candidate and the ratio of each pair; return the ratios as `compare` does."""
    width = max(map(len, times))
    for name, seconds in times.items():
        print(f"  {name:<{width}}  {statistics.median(seconds):8.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")
    ratios = {f"{what} / {over}": compare(times, what, over) for what, over in pairs}
    width = max(map(len, ratios))
    for name, row in ratios.items():
        print(f"  {name:<{width}}  {row['ratio']:6.3f}  ({row['min']:.3f} to {row['max']:.3f}, {row['rounds']} rounds)")
    return list(ratios.values())


def machine() -> dict[str, Any]:
    """Describe the machine and the versions of what is measured."""
    facts = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return facts | {"torch": torch.__version__} | {name: version(name) for name in ("lightning", "numpy", "mnist-lstm")}


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with ``number`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(command: list[str]) -> tuple[float, float]:
    """Run a command and discard its output; return its seconds and its peak memory in MiB.

    Raises:
        InputError: the command failed.
    """
    # run by a small process: Linux counts the memory of the process that starts a command as the command's own
    watch = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", watch, *command], capture_output=True, text=True, check=False)
    if result.returncode:
        raise InputError(f"{' '.join(command)}: failed: {result.stderr.strip()}")
    seconds, peak = map(float, result.stdout.split())
    return seconds, in_mib(peak)


def in_mib(peak: float) -> float:
    """Convert ``ru_maxrss``: macOS counts bytes, Linux KiB."""
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def write(results: dict[str, Any], path: Path | None) -> None:
    """Write the results and the machine into a new JSON file, if there is a path.

    Raises:
        InputError: the file exists, or cannot be written.
    """
    if path is not None:
        with open_new(path, "--output") as file:
            file.write(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
