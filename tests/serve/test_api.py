"""The API: the same answers as the commands, and refusals that say what to do."""

import json
import socket
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY, Command, succeed
from drawing import draw
from serving import Reply, ask, number, running, to_form, to_png

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.inference.classifier import Classifier, load_classifier

pytest.importorskip("fastapi", reason="needs the extra serve")

from mnist_lstm.serve import bodies, pictures, reader, schemas
from mnist_lstm.serve.app import make_app

FOUR = (REPOSITORY / ".github" / "four.png").read_bytes()
TWO_DIGITS = to_png(np.hstack([draw(2), draw(7)]))


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


@pytest.fixture(scope="module")
def port(classifier: Classifier) -> Iterator[int]:
    with running(make_app(classifier, {"test_acc": 0.5}, "<p>the page</p>")) as port:
        yield port


def refused(reply: Reply, status: int, *words: str) -> None:
    assert reply.status == status, reply.body
    assert reply.json.keys() == {"error", "advice"}
    assert len(reply.json["advice"]) > 5
    for word in words:
        assert word in reply.body.decode()


@pytest.mark.parametrize("as_form", [False, True])
@pytest.mark.parametrize(("data", "options"), [(FOUR, []), (TWO_DIGITS, []), (TWO_DIGITS, ["--split"])])
def test_answer_is_that_of_the_command(
    port: int, command: Command, as_form: bool, data: bytes, options: list[str]
) -> None:
    body, kind = to_form(data) if as_form else (data, "image/png")
    reply = ask(port, "/v1/classify" + ("?split=true" if options else ""), body, kind)
    assert reply.status == 200
    schemas.Answer.model_validate(reply.json)
    with open("a.png" if as_form else "-", "wb") as file:  # noqa: PTH123
        file.write(data)
    printed = json.loads(succeed(command, "classify", "a.png" if as_form else "./-", "--format", "json", *options)[0])
    printed["file"] = "a.png" if as_form else "-"
    answer = reply.json
    assert len(answer.pop("seen")) == len(printed["boxes"])
    for name in ("probability", "probabilities"):
        a, b = answer.pop(name), printed.pop(name)
        if a is None:
            assert b is None
        else:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
    for answered in (answer, printed):
        for box in answered["boxes"]:
            box.pop("probability")
    assert answer == printed


def test_image_in_mnist_form_is_seen_as_it_is(port: int) -> None:
    image = load_sklearn_digits().images[3]
    reply = ask(port, "/v1/classify", to_png(image))
    assert reply.json["seen"] == [image.tolist()]


def test_requests_at_the_same_time_are_read_together(port: int, classifier: Classifier) -> None:
    images = load_sklearn_digits().images[:64]
    before = ask(port, "/metrics").body
    with ThreadPoolExecutor(len(images)) as clients:
        replies = list(clients.map(lambda image: ask(port, "/v1/classify", to_png(image)), images))
    after = ask(port, "/metrics").body
    assert [reply.status for reply in replies] == [200] * 64
    assert [reply.json["digit"] for reply in replies] == [prediction.digit for prediction in classifier(images)]
    pictures, batches = (
        number(after, f"mnist_lstm_batch_size_{name}") - number(before, f"mnist_lstm_batch_size_{name}")
        for name in ("sum", "count")
    )
    assert pictures == 64
    assert batches < 64


def test_photographs_do_not_hold_up_small_pictures(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = []
    small = to_png(load_sklearn_digits().images[0])
    large = pictures.classify_large

    def slow(*args: Any) -> bytes:
        assert ask(port, "/v1/classify", small).status == 200
        answered.append("small")
        return large(*args)

    monkeypatch.setattr(pictures, "classify_large", slow)
    assert ask(port, "/v1/classify", FOUR).status == 200
    assert answered == ["small"]


def test_explanation_is_that_of_the_command(port: int, command: Command) -> None:
    reply = ask(port, "/v1/explain", FOUR)
    assert reply.status == 200
    schemas.Explanation.model_validate(reply.json)
    succeed(command, "explain", REPOSITORY / ".github" / "four.png", "--output", "out")
    with open("out/numbers.json") as file:  # noqa: PTH123
        (numbers,) = json.load(file)
    for name in ("prediction", "settles_at", "flips"):
        assert reply.json[name] == numbers[name]
    np.testing.assert_allclose(reply.json["prefix_probabilities"], numbers["prefix_probabilities"], rtol=0, atol=1e-3)
    assert [gates.keys() for gates in reply.json["gates"]] == [gates.keys() for gates in numbers["gates"]]
    assert "gates" not in ask(port, "/v1/explain?gates=false", FOUR).json


def test_explanation_needs_one_digit(port: int) -> None:
    refused(ask(port, "/v1/explain", TWO_DIGITS), 422, "holds 2 digits")


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/explain"])
def test_what_cannot_be_read_is_refused(port: int, path: str) -> None:
    damaged = FOUR[: len(FOUR) // 2]
    no_file, kind = to_form(FOUR, name="file")
    refused(ask(port, path, FOUR, "text/plain"), 415, "text/plain", "curl")
    refused(ask(port, path, b"a=1", "application/x-www-form-urlencoded"), 415)
    refused(ask(port, path, b"hello"), 415, "not a picture in a supported format")
    refused(ask(port, path, b"%PDF-1.4"), 415, "PDF")
    refused(ask(port, path, damaged), 422, "damaged")
    refused(ask(port, path, b""), 422, "empty")
    refused(ask(port, path, no_file, kind), 422, "no file picture")
    refused(ask(port, path, b"--edge", kind), 422, "no file picture")
    refused(ask(port, path, FOUR, "multipart/form-data"), 422, "boundary")
    refused(ask(port, path + "?split=7&gates=7", FOUR), 422, "boolean")
    refused(ask(port, path, to_png(np.zeros((8200, 8200), bool))), 413, "megapixels")
    refused(ask(port, path, to_png(np.zeros((14000, 14000), bool))), 413, "megapixels")
    refused(ask(port, "/v2"), 404)
    refused(ask(port, path), 405)


def test_pixels_are_counted_before_they_are_decoded(port: int) -> None:
    header = to_png(np.zeros((28, 28), np.uint8))
    large = header[:16] + (100_000).to_bytes(4, "big") * 2 + header[24:]  # nothing but the header says so
    refused(ask(port, "/v1/classify", large), 415)  # the checksum is wrong
    checksum = zlib.crc32(large[12:29]).to_bytes(4, "big")
    refused(ask(port, "/v1/classify", large[:29] + checksum + large[33:]), 413, "megapixels")


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and return what comes back until the server is silent or ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while b'"advice"' not in answer and (part := connection.recv(65536)):
            answer += part
        return answer


HEAD = b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"


def test_large_body_is_refused_before_it_is_sent(port: int) -> None:
    answer = exchange(port, HEAD + b"Content-Length: 17000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"16 MiB" in answer


def test_large_body_of_unknown_length_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES", 1000)
    answer = exchange(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + bytes(1024) + b"\r\n") * 2)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_slow_body_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.2)
    assert exchange(port, HEAD + b"Content-Length: 100\r\n\r\nabc").startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("module", "limit", "value", "words"),
    [
        (bodies, "MAX_REQUESTS", 0, "0 requests wait already"),
        (bodies, "MAX_BYTES_AT_ONCE", 10, "memory"),
        (reader, "ANSWER_SECONDS", 0.01, "no answer within"),
    ],
)
def test_busy_server_says_when_to_try_again(
    port: int, monkeypatch: pytest.MonkeyPatch, module: Any, limit: str, value: float, words: str
) -> None:
    monkeypatch.setattr(module, limit, value)
    reply = ask(port, "/v1/explain", FOUR)
    refused(reply, 503, words)
    assert reply.headers["retry-after"] == "1"
    monkeypatch.undo()
    assert ask(port, "/v1/classify", FOUR).status == 200
    assert number(ask(port, "/metrics").body, "mnist_lstm_body_bytes ") == 0
    assert number(ask(port, "/metrics").body, "mnist_lstm_requests_in_flight ") == 0


def test_failure_is_an_answer_and_ends_nothing(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> bytes:
        raise RuntimeError("secret")

    monkeypatch.setattr(pictures, "classify_large", fail)
    monkeypatch.setattr(pictures, "to_answer", fail)
    for data in (FOUR, to_png(load_sklearn_digits().images[0])):
        reply = ask(port, "/v1/classify", data)
        refused(reply, 500)
        assert b"secret" not in reply.body
    monkeypatch.undo()
    assert ask(port, "/v1/classify", FOUR).status == 200


def test_nothing_is_written(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise AssertionError("written to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", fail)
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8)
    assert ask(port, "/v1/classify", *to_form(to_png(noise))).status == 200


def test_other_answers(port: int) -> None:
    assert ask(port, "/healthz").json == {"status": "ok"}
    model = ask(port, "/v1/model").json
    assert model["card"] == {"test_acc": 0.5}
    assert model["options"]["hidden_size"] == 128
    assert ask(port, "/").body == b"<p>the page</p>"
    docs = ask(port, "/docs").body.decode()
    assert "/v1/classify" in docs
    assert "?split" in docs
    assert "://" not in docs
    document = ask(port, "/openapi.json").json
    example = document["paths"]["/v1/classify"]["post"]["responses"]["200"]["content"]["application/json"]["example"]
    schemas.Answer.model_validate(example)
    assert {"413", "415", "422", "503"} <= document["paths"]["/v1/explain"]["post"]["responses"].keys()


def test_metrics_count_requests_and_errors(port: int) -> None:
    before = ask(port, "/metrics").body
    ask(port, "/v1/classify", FOUR)
    ask(port, "/v1/classify", b"?")
    ask(port, "/no/such/path")
    after = ask(port, "/metrics").body
    for start, count in {
        'mnist_lstm_requests_total{path="/v1/classify",status="200"}': 1,
        'mnist_lstm_requests_total{path="/v1/classify",status="415"}': 1,
        'mnist_lstm_errors_total{path="/v1/classify"}': 1,
        'mnist_lstm_requests_total{path="other",status="404"}': 1,
        'mnist_lstm_request_seconds_count{path="/v1/classify"}': 2,
    }.items():
        assert number(after, start) - number(before, start) == count, start


def test_every_answer_has_safe_headers_and_none_is_for_other_sites(port: int) -> None:
    for reply in (ask(port, "/"), ask(port, "/docs"), ask(port, "/nothing"), ask(port, "/v1/classify", FOUR)):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in reply.headers)
    refused(ask(port, "/v1/classify", b"", method="OPTIONS"), 405)


def test_head_has_the_headers_of_get_and_no_body(port: int) -> None:
    for path in ("/", "/healthz", "/v1/model", "/nothing", "/v1/classify"):
        get, head = ask(port, path), ask(port, path, method="HEAD")
        assert head.status == get.status
        # a client leaves a body unread that comes after all
        with socket.create_connection(("127.0.0.1", port), timeout=60) as raw, raw.makefile("rb") as answer:
            raw.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            assert answer.read().partition(b"\r\n\r\n")[2] == b""
        for name in ("content-length", "content-type", "content-security-policy"):
            assert head.headers[name] == get.headers[name]
