"""Ask a server on this machine for the digits of test images: one client, many at once, and at a steady rate.

Closed loop: each client sends its next request when it has the answer to the last. Open loop: requests are sent at
times that do not depend on the answers, so a server that falls behind is seen in the times, which count from when a
request was due. The client is as small as can be, but runs on the same machine and takes its share of it.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.errors import TrainingError

ONE, MANY, STEADY = "one client", "{} clients", "steady, {:.0f} a second"
SHARE = 0.5  # of what many clients get through, sent at a steady rate


@dataclass
class Load:
    """What came of some requests."""

    seconds: list[float] = field(default_factory=list)  # of each answered request
    errors: int = 0
    took: float = 0.0

    def rate(self) -> float:
        """Answers per second."""
        return len(self.seconds) / self.took

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of the requests was answered."""
        return 1e3 * sorted(self.seconds)[min(int(share * len(self.seconds)), len(self.seconds) - 1)]


class Client:
    """A connection that asks again and again."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request, read the answer, and return its status."""
        if self.streams is None or self.streams[0].at_eof():  # the server ends connections that are idle for seconds
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await reader.readexactly(length)
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """End the connection."""
        if self.streams is not None:
            self.streams[1].close()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; return the results."""
    requests = [_request(image) for image in load_sklearn_digits().images[:1000]]
    many = MANY.format(options.clients)
    loads: dict[str, list[Load]] = {}
    gc.freeze()  # as the server does, or the client's pauses would count as the server's
    with _server() as port:
        for number in range(1 + options.rounds):  # the first warms up
            for name, clients in ((ONE, 1), (many, options.clients)):
                count = options.requests if clients > 1 else max(1, options.requests // 4)
                load = asyncio.run(closed(port, requests, clients, count, options.seconds))
                if number:
                    loads.setdefault(name, []).append(load)
        rate = options.rate or SHARE * statistics.median(load.rate() for load in loads[many])
        steady = STEADY.format(rate)
        for _ in range(options.rounds):
            load = asyncio.run(opened(port, requests, rate, options.requests, options.seconds))
            loads.setdefault(steady, []).append(load)
    for name, rounds in loads.items():
        _print(name, rounds)
    ratios = [b.rate() / a.rate() for a, b in zip(loads[ONE], loads[many], strict=True)]
    low, high = min(ratios), max(ratios)
    print(f"  {many} over {ONE}: {statistics.median(ratios):.2f} times as many answers ({low:.2f} to {high:.2f})")
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "loads": {name: [_numbers(load) for load in rounds] for name, rounds in loads.items()},
    }


def _numbers(load: Load) -> dict[str, float]:
    return {
        "answers": len(load.seconds),
        "errors": load.errors,
        "per second": load.rate(),
        "p50 ms": load.quantile(0.5),
        "p99 ms": load.quantile(0.99),
    }


def _print(name: str, rounds: list[Load]) -> None:
    rows = [_numbers(load) for load in rounds]
    middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    errors = sum(load.errors for load in rounds)
    print(
        f"  {name:<24} {middle['per second']:7.0f} a second  p50 {middle['p50 ms']:6.1f} ms  "
        f"p99 {middle['p99 ms']:6.1f} ms  {errors} errors"
    )


async def closed(port: int, requests: list[bytes], clients: int, count: int, seconds: float) -> Load:
    """Have each of some clients ask one request after the other, at most ``count`` in all and for ``seconds``."""
    load, numbers = Load(), iter(range(count))
    start = time.perf_counter()

    async def work(client: Client) -> None:
        for number in numbers:
            if time.perf_counter() - start > seconds:
                break
            await _timed(load, client, requests[number % len(requests)], time.perf_counter())

    everyone = [Client(port) for _ in range(clients)]
    await asyncio.gather(*map(work, everyone))
    load.took = time.perf_counter() - start
    for client in everyone:
        client.close()
    return load


async def opened(port: int, requests: list[bytes], rate: float, count: int, seconds: float) -> Load:
    """Send requests at a steady rate per second, at most ``count`` and for ``seconds``."""
    load, idle, tasks = Load(), [Client(port)], []
    start = time.perf_counter()

    async def work(request: bytes, due: float) -> None:
        client = idle.pop() if idle else Client(port)
        await _timed(load, client, request, due)
        idle.append(client)

    for number in range(count):
        due = start + number / rate
        if number / rate > seconds:
            break
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(work(requests[number % len(requests)], due)))
    await asyncio.gather(*tasks)
    load.took = time.perf_counter() - start
    for client in idle:
        client.close()
    return load


async def _timed(load: Load, client: Client, request: bytes, start: float) -> None:
    try:
        status = await client.ask(request)
    except (OSError, EOFError, ValueError):
        client.streams, status = None, 0
    if status == 200:
        load.seconds.append(time.perf_counter() - start)
    else:
        load.errors += 1


def _request(image: Any) -> bytes:
    body = io.BytesIO()
    Image.fromarray(image).save(body, "PNG")
    data = body.getvalue()
    head = "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """Start a server; yield its port."""
    command = [sys.executable, "-m", "mnist_lstm", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("serving"):
                raise TrainingError("the server did not start")
            yield int(line.split("/  ")[0].rpartition(":")[2])
        finally:
            process.terminate()
            process.wait(60)
