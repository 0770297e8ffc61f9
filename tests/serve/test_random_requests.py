"""Thousands of random requests: no failure, and no memory that is not given back.

``pytest -m slow -n 0 -rP tests/serve`` prints what was measured. The requests by the OpenAPI document need
schemathesis (``pip install schemathesis``), which is no part of the extra ``test``.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from serving import ask, number, started, to_form

pytest.importorskip("fastapi", reason="needs the extra serve")
fuzz = pytest.importorskip("fuzz", reason="needs the extra photos")

KINDS = ("image/png", "image/jpeg", "application/octet-stream", "image/heic")
MAX_MIB = 60  # that memory may grow by after the first fifth of the requests


def damaged_pictures(port: int, count: int, after: Callable[[int], None]) -> Counter[int]:
    """Send damaged pictures of all kinds; return how often each status came."""
    rng = np.random.default_rng(0)
    seeds = list(fuzz.seeds().values())
    statuses: Counter[int] = Counter()
    for n in range(count):
        data = fuzz.mutate(seeds[rng.integers(len(seeds))], rng)
        kind = KINDS[rng.integers(len(KINDS))]
        if rng.random() < 0.3:
            data, kind = to_form(data)
            if rng.random() < 0.3:
                data = fuzz.mutate(data, rng)
        path = rng.choice(["/v1/classify", "/v1/classify?split=true", "/v1/explain?gates=false"], p=[0.6, 0.3, 0.1])
        statuses[ask(port, str(path), data, kind).status] += 1
        after(n)
    return statuses


def memory_mib(process: int) -> float:
    """Return the memory that a process holds."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) / 1024


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with started() as server:
        yield server


def test_damaged_pictures_are_refused(server: tuple[subprocess.Popen[str], int]) -> None:
    statuses = damaged_pictures(server[1], 200, lambda n: None)
    assert set(statuses) <= {200, 413, 415, 422}, statuses
    assert len(statuses) >= 3  # some can still be read, some cannot


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc, to measure memory")  # noqa: PTH110
def test_ten_thousand_requests_fail_nothing_and_leave_no_memory(
    server: tuple[subprocess.Popen[str], int], tmp_path: Path
) -> None:
    process, port = server
    held = []
    statuses = damaged_pictures(port, 5000, lambda n: held.append(memory_mib(process.pid)) if n % 1000 == 999 else None)
    print(f"5,000 damaged pictures: {dict(statuses)}; memory after each 1,000: {[round(each) for each in held]} MiB")
    assert set(statuses) <= {200, 413, 415, 422, 503}
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("needs schemathesis, for requests by the OpenAPI document")
    while (sent := number(ask(port, "/metrics").body, "mnist_lstm_requests_total")) < 10_000:
        by_document(port, tmp_path, seed=int(sent))
        held.append(memory_mib(process.pid))
    metrics = ask(port, "/metrics").body.decode()
    by_status = {
        status: number(
            "\n".join(line for line in metrics.splitlines() if f'status="{status}"' in line).encode(),
            "mnist_lstm_requests_total",
        )
        for status in sorted(set(re.findall(r'status="(\d+)"', metrics)))
    }
    print(f"with requests by the OpenAPI document: {by_status}; memory {[round(each) for each in held]} MiB")
    assert all(status < "500" or status == "503" for status in by_status)
    assert max(held[1:]) - held[0] < MAX_MIB


def by_document(port: int, folder: Path, seed: int) -> None:
    """Send requests that schemathesis makes from the OpenAPI document, right ones and wrong ones."""
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"http://127.0.0.1:{port}/openapi.json", "--phases", "fuzzing,coverage", "--max-examples", "300"),
        *("--checks", "not_a_server_error", "--seed", str(seed), "--continue-on-failure", "--no-color"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
