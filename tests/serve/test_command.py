"""The command: what it says, and how it ends."""

import builtins
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import REPOSITORY, Command, fail
from serving import ask, started

from mnist_lstm.serve import cli


def test_missing_packages_are_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return ordinary(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    err = fail(command, "serve")
    assert "not installed: pip install 'mnist-lstm[serve]'" in err
    assert len(err.splitlines()) == 1


def test_only_this_machine_is_served_unless_asked() -> None:
    assert cli.parser().parse_args([]).host == "127.0.0.1"


def test_port_that_is_taken_is_named(command: Command) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen there" in fail(command, "serve", "--port", str(taken.getsockname()[1]))
    assert "from 0 to 65535" in fail(command, "serve", "--port", "65536")
    assert "cannot listen there" in fail(command, "serve", "--host", "no.such.host.invalid")


def test_answers_are_sent_at_once() -> None:
    with cli._listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    with started() as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_signal_ends_it_after_the_requests_that_it_has_taken(
    server: tuple[subprocess.Popen[str], int], number: int
) -> None:
    process, port = server
    four = (REPOSITORY / ".github" / "four.png").read_bytes()
    taken = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(6)]
    for connection in taken:
        connection.request("POST", "/v1/explain", four, {"Content-Type": "image/png"})
    while b"in_flight 6.0" not in ask(port, "/metrics").body:
        time.sleep(0.01)
    process.send_signal(number)
    assert [connection.getresponse().status for connection in taken] == [200] * 6
    for connection in taken:
        connection.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/healthz")
