"""Finding, fetching and checking the files of MNIST."""

import errno
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import publish, write_archive

from mnist_lstm.data import mnist_files
from mnist_lstm.data.mnist_files import TEST, TRAIN, fetch, load, raw_folder
from mnist_lstm.errors import InputError


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_nothing_lies_in(data_dir: Path) -> None:
    assert [path for path in data_dir.rglob("*") if path.is_file()] == []
    assert list(raw_folder(data_dir).glob(".*")) == []


def test_the_md5_sums_are_those_that_torchvision_checks() -> None:
    from torchvision.datasets import MNIST

    assert MNIST.resources == [(f"{name}.gz", md5) for name, md5 in mnist_files.ARCHIVE_MD5.items()]


def test_archives_are_unpacked_and_read_back(archives: Path, data_dir: Path) -> None:
    fetch(data_dir, archives)
    images, labels = load(data_dir, TRAIN)
    assert images.shape == (400, 28, 28)
    assert images.dtype == np.uint8
    assert labels[:5].tolist() == [0, 1, 2, 3, 4]
    assert len(load(data_dir, TEST)[0]) == 100
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}


def test_torchvision_reads_what_was_unpacked(archives: Path, data_dir: Path) -> None:
    from torchvision.datasets import MNIST

    fetch(data_dir, archives)
    np.testing.assert_array_equal(MNIST(data_dir, train=False).data.numpy(), load(data_dir, TEST)[0])


def test_what_lies_there_is_used_without_archives_or_network(archives: Path, data_dir: Path) -> None:
    fetch(data_dir, archives)
    times = {path: path.stat().st_mtime_ns for path in raw_folder(data_dir).iterdir()}
    fetch(data_dir, archives / "missing", "http://127.0.0.1:9/")
    assert times == {path: path.stat().st_mtime_ns for path in raw_folder(data_dir).iterdir()}


def test_archives_in_the_raw_folder_are_unpacked(archives: Path, data_dir: Path) -> None:
    raw_folder(data_dir).mkdir(parents=True)
    for archive in archives.iterdir():
        archive.rename(raw_folder(data_dir) / archive.name)
    fetch(data_dir, None, "http://127.0.0.1:9/")
    assert len(load(data_dir, TRAIN)[1]) == 400


def spoil(archive: Path, how: str) -> None:
    content = archive.read_bytes()
    if how == "cut short":
        archive.write_bytes(content[: len(content) // 2])
    elif how == "wrong byte":
        # in the check sum at the end: elsewhere a file this small may fail in any of several ways
        archive.write_bytes(bytes(byte ^ (i == len(content) - 6) for i, byte in enumerate(content)))
    elif how == "packed again":
        archive.write_bytes(gzip.compress(gzip.decompress(content), compresslevel=1, mtime=1))
    elif how == "missing":
        archive.unlink()
    else:
        raise AssertionError(how)


@pytest.mark.parametrize("name", mnist_files.ARCHIVE_MD5)
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut short", "cut short"),
        ("wrong byte", "damaged"),
        ("packed again", "MD5 sum"),
        ("missing", "no such file; the folder of archives must hold train-images"),
    ],
)
def test_a_bad_archive_is_named_and_nothing_is_left(
    archives: Path, data_dir: Path, name: str, how: str, message: str
) -> None:
    archive = archives / f"{name}.gz"
    spoil(archive, how)
    with pytest.raises(InputError) as error:
        fetch(data_dir, archives)
    assert str(error.value).startswith(f"{archive}: ")
    assert message in str(error.value)
    if name in TRAIN:
        assert_nothing_lies_in(data_dir)
    else:
        assert not (raw_folder(data_dir) / name).exists()


@pytest.mark.parametrize("name", [TRAIN.labels, TEST.images])
def test_a_bad_unpacked_file_is_named_and_left_alone(archives: Path, data_dir: Path, name: str) -> None:
    fetch(data_dir, archives)
    path = raw_folder(data_dir) / name
    content = bytes(byte ^ (i == 50) for i, byte in enumerate(path.read_bytes()))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"MD5 sum") as error:
        load(data_dir, TRAIN if name in TRAIN else TEST)
    assert str(error.value).startswith(f"{path}: ")
    assert path.read_bytes() == content
    path.write_bytes(content[:60])
    with pytest.raises(InputError, match=r"cut short"):
        load(data_dir, TRAIN if name in TRAIN else TEST)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (TRAIN.labels, np.zeros(399, np.uint8), "holds 400 images, but .* holds 399 labels"),
        (TRAIN.labels, np.full(400, 10, np.uint8), "label 0 is 10"),
        (TRAIN.images, np.zeros((400, 27, 28), np.uint8), "400x27x28"),
    ],
)
def test_what_archives_hold_is_checked(
    archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, array: np.ndarray, message: str
) -> None:
    write_archive(archives / f"{name}.gz", array)
    publish(archives, monkeypatch)  # so that it is not the MD5 sum that gives them away
    with pytest.raises(InputError, match=message):
        fetch(data_dir, archives)
    assert_nothing_lies_in(data_dir)


def test_a_folder_that_cannot_be_made_is_named(archives: Path, data_dir: Path) -> None:
    data_dir.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"MNIST cannot be unpacked there .*--data.data_dir"):
        fetch(data_dir, archives)
    assert data_dir.read_text() == "a file where the folder should be"


def test_a_full_disk_is_named_and_nothing_is_left(
    archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(source, target) -> None:
        target.write(source.read(100))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", copy)
    with pytest.raises(InputError, match=r"No space left on device.*free some space"):
        fetch(data_dir, archives)
    assert_nothing_lies_in(data_dir)


def test_an_interrupted_run_leaves_nothing_that_a_later_one_believes(
    archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(source, target) -> None:
        target.write(source.read(100))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(data_dir, archives)
    assert_nothing_lies_in(data_dir)
    fetch(data_dir, archives)
    load(data_dir, TRAIN)


def test_a_killed_run_leaves_nothing_that_a_later_one_believes(archives: Path, data_dir: Path) -> None:
    killed = start_fetch(
        archives, data_dir, "import shutil, os; shutil.copyfileobj = lambda s, t: os.kill(os.getpid(), 9)"
    )
    assert killed.wait() == -9
    assert not any((raw_folder(data_dir) / name).exists() for name in (*TRAIN, *TEST))
    fetch(data_dir, archives)
    load(data_dir, TEST)


def test_processes_that_start_at_once_all_succeed(archives: Path, data_dir: Path) -> None:
    processes = [start_fetch(archives, data_dir) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}
    load(data_dir, TRAIN)
    load(data_dir, TEST)


def start_fetch(archives: Path, data_dir: Path, before: str = "") -> subprocess.Popen[bytes]:
    """Fetch in a process of its own, which takes the tiny MNIST for the published one as this process does."""
    program = (
        f"import json, sys, pathlib; from mnist_lstm.data import mnist_files as files; {before}\n"
        "files.ARCHIVE_MD5.update(json.loads(sys.argv[3])); files.UNPACKED_MD5.update(json.loads(sys.argv[4]))\n"
        "files.fetch(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    )
    sums = [json.dumps(table) for table in (mnist_files.ARCHIVE_MD5, mnist_files.UNPACKED_MD5)]
    return subprocess.Popen([sys.executable, "-c", program, data_dir, archives, *sums])


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; ``faults`` says for a file name what goes wrong with it."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: dict[str, str] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}/mnist/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/mnist/")
        self.server.asked.append(name)
        fault = self.server.faults.get(name)
        if fault == "silent":
            self.server.closing.wait()
            return
        if not (self.server.folder / name).is_file():
            self.send_error(404)
            return
        content = (self.server.folder / name).read_bytes()
        half = len(content) // 2
        if fault == "wrong byte":
            content = bytes(byte ^ (i == half) for i, byte in enumerate(content))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content[:half])
            if fault == "silent in the middle":
                self.server.closing.wait()
            elif fault == "endless":
                while not self.server.closing.is_set():
                    self.wfile.write(content)
            elif fault != "cut short":
                self.wfile.write(content[half:])
        except OSError:
            pass  # the other side has gone

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(archives: Path) -> Iterator[Server]:
    with Server(archives) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()


def test_torchvision_fetches_from_a_mirror(server: Server, data_dir: Path) -> None:
    fetch(data_dir, mirror=server.address)
    assert load(data_dir, TRAIN)[0].shape == (400, 28, 28)
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut short", "cut short"),
        ("wrong byte", "damaged"),
        ("silent", "no answer for"),
        ("silent in the middle", "no answer for"),
    ],
)
def test_a_bad_download_is_named_and_nothing_is_left(
    server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(mnist_files, "PATIENCE_S", 0.5)
    name = f"{TRAIN.images}.gz"
    server.faults[name] = fault
    with pytest.raises(InputError) as error:
        fetch(data_dir, mirror=server.address)
    assert f"{server.address}{name}" in str(error.value)
    assert message in str(error.value)
    assert mnist_files.WAYS_OUT in str(error.value)
    assert_nothing_lies_in(data_dir)


def test_an_endless_download_is_broken_off(server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without a length, as an endless answer comes
    monkeypatch.setattr(Handler, "send_header", lambda *args: None)
    monkeypatch.setattr(mnist_files, "MAX_ARCHIVE_BYTES", 2**20)
    server.faults[f"{TRAIN.images}.gz"] = "endless"
    with pytest.raises(InputError, match=r"sends more than 1,048,576 bytes"):
        fetch(data_dir, mirror=server.address)
    assert_nothing_lies_in(data_dir)


def test_the_next_mirror_is_asked_when_one_fails(
    server: Server, archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(mnist_files, "PATIENCE_S", 1.0)
    monkeypatch.setattr(MNIST, "mirrors", [f"{server.address}missing/", server.address])
    fetch(data_dir)
    load(data_dir, TEST)
    assert [name for name in server.asked if "missing" in name] == [f"missing/{TRAIN.images}.gz"], "asked only once"


def test_a_network_that_does_not_answer_is_given_up_within_15_seconds(
    server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    assert mnist_files.PATIENCE_S < 15
    # a fifth of the patience, over as many mirrors as torchvision has
    patience = mnist_files.PATIENCE_S / 5
    monkeypatch.setattr(mnist_files, "PATIENCE_S", patience)
    monkeypatch.setattr(MNIST, "mirrors", [server.address] * len(MNIST.mirrors))
    server.faults = dict.fromkeys((f"{name}.gz" for name in mnist_files.ARCHIVE_MD5), "silent")
    with pytest.raises(InputError) as error:
        fetch(data_dir)
    assert str(error.value).count(f"no answer for {patience / 2:.0f} s") == len(MNIST.mirrors)


@pytest.mark.parametrize("mirror", ["file:///tmp", "example", ""])
def test_a_mirror_is_a_web_address(data_dir: Path, mirror: str) -> None:
    with pytest.raises(InputError, match=r"no http\(s\) address"):
        fetch(data_dir, mirror=mirror)
    assert not data_dir.exists()
