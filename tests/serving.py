"""Servers for tests, in a thread of this process or as the command, and requests to them."""

import contextlib
import http.client
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, body: bytes | None = None, kind: str | None = "image/png", *, method: str | None = None
) -> Reply:
    """Send a request; POST if it has a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        headers = {"Content-Type": kind} if kind is not None and body is not None else {}
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def to_png(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def to_form(data: bytes, name: str = "picture", file: str = "a.png") -> tuple[bytes, str]:
    """Return a form with one file, and its Content-Type."""
    head = f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
    return head.encode() + data + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


def number(metrics: bytes, start: str) -> float:
    """Return the sum of all values in Prometheus' text form whose lines begin so."""
    return sum(float(line.split()[-1]) for line in metrics.decode().splitlines() if line.startswith(start))


@contextlib.contextmanager
def running(app: Any) -> Iterator[int]:
    """Serve an application; yield the port."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def started() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the command; yield the process, and the port at which it answers."""
    command = [sys.executable, "-m", "mnist_lstm", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found, process.communicate()
        port = int(found[1])
        assert ask(port, "/healthz").status == 200  # it listens already, and waits until it can answer
        yield process, port
        process.kill()
