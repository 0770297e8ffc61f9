"""Measure things in turn, and tell the medians and their ratios.

A machine that is shared slows down and speeds up again, so two times are only compared if they were taken one right
after the other: A B A B ..., a ratio for each round, and the median of the ratios.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mnist_lstm.errors import InputError
from mnist_lstm.outputs import open_new

Times = dict[str, list[float]]
"""Seconds by what took them, one for each round, in the order of the rounds."""


def interleave(candidates: dict[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> Times:
    """Time every candidate once a round.

    Args:
        candidates: what is run, by name.
        rounds: how many count.
        warm_up: how many come before them and do not count.
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
    """Return the median of the ratios of each round, with the smallest and the largest."""
    ratios = [a / b for a, b in zip(times[what], times[over], strict=True)]
    return {
        "what": what,
        "over": over,
        "ratio": statistics.median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "rounds": len(ratios),
    }


def print_times(times: Times) -> None:
    """Print a line for each, with the median and its extremes."""
    wide = max(map(len, times))
    for name, seconds in times.items():
        print(f"  {name:<{wide}}  {statistics.median(seconds):8.3f} s  ({min(seconds):.3f} to {max(seconds):.3f})")


def print_ratios(ratios: list[dict[str, Any]]) -> None:
    """Print a line for each ratio."""
    wide = max(len(f"{row['what']} / {row['over']}") for row in ratios)
    for row in ratios:
        name = f"{row['what']} / {row['over']}"
        print(f"  {name:<{wide}}  {row['ratio']:6.3f}  ({row['min']:.3f} to {row['max']:.3f}, {row['rounds']} rounds)")


def machine() -> dict[str, Any]:
    """Describe what is measured on."""
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
    """Compute with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory(command: list[str]) -> tuple[float, float]:
    """Run a command whose output nobody reads; return its seconds and the most memory it held, in MiB.

    Raises:
        InputError: it failed.
    """
    # a process of its own, whose children's peak is then that of the command alone
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
    seconds, peak = result.stdout.split()
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return float(seconds), float(peak) / unit


def write(results: dict[str, Any], path: Path | None) -> None:
    """Write the results, with the machine, to a new JSON file.

    Raises:
        InputError: the file is there already, or cannot be written.
    """
    if path is None:
        return
    with open_new(path, "--output") as file:
        json.dump({"machine": machine(), **results}, file, indent=2)
        file.write("\n")
