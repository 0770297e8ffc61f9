"""A server under load from clients that hang up, send half or rubbish: no wrong answer, and memory stays flat.

MNIST_LSTM_LOAD_MINUTES=20 pytest -n 0 -m slow -rP tests/serve/test_endurance.py
"""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from drawing import STROKES, draw
from serving import ask, started, to_form, to_png

pytest.importorskip("fastapi", reason="needs the extra serve")
from test_random_requests import memory_mib

MINUTES = float(os.environ.get("MNIST_LSTM_LOAD_MINUTES", "2"))
MAX_MIB = 40  # that memory may grow by after the first fifth of the time

Server = tuple[subprocess.Popen[str], int]


@pytest.fixture
def server() -> Iterator[Server]:
    with started() as server:
        yield server


class Load:
    """Clients in threads, until `seconds` are over."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.end = port, time.monotonic() + seconds
        self.pictures = [to_png(draw(digit)) for digit in STROKES]
        self.expected = [self._classify(picture) for picture in self.pictures]
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        clients = (self._good, self._good, self._hangs_up, self._sends_half, self._sends_rubbish, self._asks_slowly)
        self.threads = [threading.Thread(target=self._run, args=(client, n)) for n, client in enumerate(clients)]

    def _classify(self, picture: bytes) -> object:
        answer = ask(self.port, "/v1/classify", picture)
        assert answer.status == 200
        return answer.json

    def _run(self, client: object, seed: int) -> None:
        rng = random.Random(seed)
        while time.monotonic() < self.end:
            try:
                client(rng)  # type: ignore[operator]
            except OSError as error:
                if client in (self._good,):
                    self.errors.append(repr(error))
            self.counts[client.__name__] += 1  # type: ignore[attr-defined]

    def _good(self, rng: random.Random) -> None:
        n = rng.randrange(len(self.pictures))
        picture, kind = self.pictures[n], "image/png"
        if rng.random() < 0.3:
            picture, kind = to_form(picture)
        answer = ask(self.port, "/v1/classify", picture, kind)
        same = answer.status == 200 and _without_file(answer.json) == _without_file(self.expected[n])
        if not same:
            self.errors.append(f"{answer.status} {answer.body[:200]!r}")

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def _head(self, size: int) -> bytes:
        return b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % size

    def _hangs_up(self, rng: random.Random) -> None:
        picture = rng.choice(self.pictures)
        with self._connect() as connection:
            connection.sendall(self._head(len(picture)) + picture)  # and does not wait for the answer
            time.sleep(rng.choice([0, 0.001, 0.01]))

    def _sends_half(self, rng: random.Random) -> None:
        with self._connect() as connection:
            connection.sendall(self._head(2**20) + rng.randbytes(rng.randrange(2**19)))
            time.sleep(rng.choice([0, 0.01]))

    def _sends_rubbish(self, rng: random.Random) -> None:
        with self._connect() as connection:
            connection.sendall(
                rng.choice([b"", b"GET / HTTP/9.9\r\n", b"POST ", b"\x16\x03\x01"]) + rng.randbytes(2000)
            )
            connection.recv(1000)

    def _asks_slowly(self, rng: random.Random) -> None:
        with self._connect() as connection:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
            connection.recv(1000)


def _without_file(answer: object) -> object:
    assert isinstance(answer, dict)
    return {name: value for name, value in answer.items() if name != "file"}


def test_sigterm_is_obeyed_while_clients_hang_up(server: Server) -> None:
    process, port = server
    load = Load(port, 1.0)
    for thread in load.threads:
        thread.start()
    for thread in load.threads:
        thread.join()
    assert load.errors == []
    assert len(load.counts) == 5, "every kind of client was there"
    assert min(load.counts.values()) >= 1
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc, to measure memory")  # noqa: PTH110
def test_good_answers_stay_right_and_memory_stays_flat(server: Server) -> None:
    process, port = server
    load = Load(port, 60 * MINUTES)
    for thread in load.threads:
        thread.start()
    held = []
    while any(thread.is_alive() for thread in load.threads):
        time.sleep(60 * MINUTES / 20)
        held.append(memory_mib(process.pid))
    for thread in load.threads:
        thread.join()
    files = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
    print(json.dumps({"minutes": MINUTES, **load.counts, "wrong": len(load.errors), "files": files}))
    print("MiB held, twenty times:", [round(each) for each in held])
    assert load.errors == []
    assert len(load.counts) == 5, "every kind of client was there"
    assert max(held[4:]) - np.median(held[2:5]) <= MAX_MIB
    assert files < 100
    assert ask(port, "/healthz").status == 200
