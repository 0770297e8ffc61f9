"""Hostile files and configs, see hostile.py: the command meets each in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("onnx", reason="needs the extra onnx")
import hostile

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, to measure a process")

MAX_SECONDS = 15.0  # of the processor: 10, and imports take 3 to 7
MAX_WAITING = 120.0  # of the clock: a busy machine is no fault of the command
MAX_MIB = 1024  # all of the process, of which imports take 650 to 800
QUICK = ("config with a class path", "checkpoint with code", "picture with pages without end")


class Ended(NamedTuple):
    code: int
    output: str
    seconds: float  # of the processor, children included
    mib: float  # peak of memory


def run(args: list[str]) -> Ended:
    """Run the command with the working folder among the modules; end it if it hangs."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())]), "OMP_NUM_THREADS": "1"}
    with Path("output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mnist_lstm", *args],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True,
        )  # fmt: skip
    end, mib = time.monotonic() + MAX_WAITING, 0.0
    while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
        # what wait4 says of memory counts this process too, from which it was forked
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        mib = int(found[1]) / 1024 if found else mib
        if time.monotonic() > end:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.02)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(process.returncode, Path("output").read_text(errors="replace"), usage.ru_utime + usage.ru_stime, mib)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in hostile.CASES]
)
def test_hostile_input_runs_no_code_and_takes_neither_time_nor_memory(name: str) -> None:
    args = hostile.CASES[name]()
    ended = run(args)
    print(f"{name}: exit {ended.code}, {ended.seconds:.1f} s, {ended.mib:.0f} MiB: {ended.output.strip()[-300:]}")
    assert not Path("it ran").exists()
    assert "Traceback" not in ended.output
    reads_pictures = args[0] == "classify" and "--ckpt_path" not in args  # one that it can read in spite of all is fine
    assert ended.code in ((0, 1, 2) if reads_pictures else (2,)), ended.output
    assert ended.seconds <= MAX_SECONDS
    assert ended.mib <= MAX_MIB


def test_there_are_thirty() -> None:
    assert len(hostile.CASES) >= 30
    assert set(QUICK) <= hostile.CASES.keys()


def test_a_name_cannot_be_a_formula_or_move_the_cursor() -> None:
    out = run(hostile.CASES["name that is a formula"]()).output
    assert out.splitlines()[1].startswith(("./=HYPERLINK", '"./=HYPERLINK'))
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2
