"""Finding, downloading and checking the files of MNIST."""

import gzip
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import publish, write_archive

from mnist_lstm.data import mnist_files
from mnist_lstm.data.mnist_files import TEST, TRAIN, fetch, load, raw_folder
from mnist_lstm.errors import InputError


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_no_files_in(data_dir: Path) -> None:
    assert [path for path in data_dir.rglob("*") if path.is_file()] == []
    assert list(raw_folder(data_dir).glob(".*")) == []


def test_md5_sums_equal_torchvisions() -> None:
    from torchvision.datasets import MNIST

    assert MNIST.resources == [(f"{name}.gz", md5) for name, md5 in mnist_files.ARCHIVE_MD5.items()]


def test_archives_are_unpacked(archives: Path, data_dir: Path) -> None:
    fetch(data_dir, archives)
    images, labels = load(data_dir, TRAIN)
    assert images.shape == (400, 28, 28)
    assert images.dtype == np.uint8
    assert labels[:5].tolist() == [0, 1, 2, 3, 4]
    assert len(load(data_dir, TEST)[0]) == 100
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}


def test_torchvision_reads_the_unpacked_files(archives: Path, data_dir: Path) -> None:
    from torchvision.datasets import MNIST

    fetch(data_dir, archives)
    np.testing.assert_array_equal(MNIST(data_dir, train=False).data.numpy(), load(data_dir, TEST)[0])


def test_unpacked_files_are_used_without_archives_or_network(archives: Path, data_dir: Path) -> None:
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
        # in the checksum at the end: elsewhere, the error of a file this small varies
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
        ("missing", "no such file.*train-images"),
    ],
)
def test_a_bad_archive_is_named_and_leaves_no_files(
    archives: Path, data_dir: Path, name: str, how: str, message: str
) -> None:
    archive = archives / f"{name}.gz"
    spoil(archive, how)
    with pytest.raises(InputError, match=f"^{re.escape(str(archive))}: .*{message}"):
        fetch(data_dir, archives)
    if name in TRAIN:
        assert_no_files_in(data_dir)
    else:
        assert not (raw_folder(data_dir) / name).exists()


@pytest.mark.parametrize("name", [TRAIN.labels, TEST.images])
def test_a_bad_unpacked_file_is_named_and_kept(archives: Path, data_dir: Path, name: str) -> None:
    fetch(data_dir, archives)
    path = raw_folder(data_dir) / name
    content = bytes(byte ^ (i == 50) for i, byte in enumerate(path.read_bytes()))
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: .*MD5 sum"):
        load(data_dir, TRAIN if name in TRAIN else TEST)
    assert path.read_bytes() == content
    path.write_bytes(content[:60])
    with pytest.raises(InputError, match=r"cut short"):
        load(data_dir, TRAIN if name in TRAIN else TEST)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (TRAIN.labels, np.zeros(399, np.uint8), "400 images, .* 399 labels"),
        (TRAIN.labels, np.full(400, 10, np.uint8), "label 0 is 10"),
        (TRAIN.images, np.zeros((400, 27, 28), np.uint8), "400x27x28"),
    ],
)
def test_the_content_of_archives_is_checked(
    archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str, array: np.ndarray, message: str
) -> None:
    write_archive(archives / f"{name}.gz", array)
    publish(archives, monkeypatch)  # so that the MD5 sums pass
    with pytest.raises(InputError, match=message):
        fetch(data_dir, archives)
    assert_no_files_in(data_dir)


def test_a_data_dir_that_cannot_be_created_is_named(archives: Path, data_dir: Path) -> None:
    data_dir.write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot be unpacked .*--data.data_dir"):
        fetch(data_dir, archives)
    assert data_dir.read_text() == "a file where the folder should be"


def test_a_file_that_does_not_fit_is_named_and_leaves_no_files(archives: Path, data_dir: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = start_fetch(archives, data_dir, limit, stderr=subprocess.PIPE)
    last = process.communicate()[1].decode().splitlines()[-1]
    assert process.returncode == 1
    reason = r"cannot be written \(File too large after 100,000 of 313,616 bytes\); .* free 70 MB"
    assert re.search(f"{TRAIN.images}: {reason}", last)
    assert_no_files_in(data_dir)


def test_an_interrupted_fetch_leaves_no_files(archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(file: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", interrupt)  # the content is written, but not in its place
        with pytest.raises(KeyboardInterrupt):
            fetch(data_dir, archives)
    assert_no_files_in(data_dir)
    fetch(data_dir, archives)
    load(data_dir, TRAIN)


def test_a_killed_fetch_leaves_no_unpacked_files(archives: Path, data_dir: Path) -> None:
    killed = start_fetch(archives, data_dir, "import os; os.fsync = lambda file: os.kill(os.getpid(), 9)")
    assert killed.wait() == -9
    assert not any((raw_folder(data_dir) / name).exists() for name in (*TRAIN, *TEST))
    assert len(list(raw_folder(data_dir).iterdir())) == 2, "a temporary folder and a temporary file"
    assert start_fetch(archives, data_dir).wait() == 0
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}
    load(data_dir, TEST)


def test_concurrent_processes_all_succeed(archives: Path, data_dir: Path) -> None:
    processes = [start_fetch(archives, data_dir) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert {path.name for path in raw_folder(data_dir).iterdir()} == {*TRAIN, *TEST}
    load(data_dir, TRAIN)
    load(data_dir, TEST)


def test_an_unchanged_file_is_checked_once_and_a_changed_one_again(
    archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(data_dir, archives)
    checked: list[str] = []
    check = mnist_files.check_md5
    monkeypatch.setattr(mnist_files, "check_md5", lambda path, md5: checked.append(path.name) or check(path, md5))
    load(data_dir, TRAIN)
    load(data_dir, TRAIN)
    assert checked == [*TRAIN, *TRAIN], "they are too new to be remembered"
    monkeypatch.setattr(mnist_files._Checked, "YOUNG_NS", 0)
    load(data_dir, TRAIN)
    load(data_dir, TRAIN)
    assert checked == [*TRAIN, *TRAIN, *TRAIN]
    remembered = data_dir / "MNIST" / ".mnist-lstm-checked.json"
    for content in ("[]", "{", f'{{"{TRAIN.images}": 7}}', "[" * 100_000, "\0"):
        remembered.write_text(content)
        load(data_dir, TRAIN)
    assert checked == [*TRAIN] * 8
    labels = raw_folder(data_dir) / TRAIN.labels
    status = labels.stat()
    labels.write_bytes(bytes(byte ^ (i == 50) for i, byte in enumerate(labels.read_bytes())))
    os.utime(labels, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=r"MD5 sum"):
        load(data_dir, TRAIN)


def start_fetch(archives: Path, data_dir: Path, before: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Fetch in a new process that expects the MD5 sums of the tiny MNIST, as this one does."""
    program = (
        f"import json, sys, pathlib; from mnist_lstm.data import mnist_files as files; {before}\n"
        "files.ARCHIVE_MD5.update(json.loads(sys.argv[3])); files.UNPACKED_MD5.update(json.loads(sys.argv[4]))\n"
        "files.fetch(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    )
    sums = [json.dumps(table) for table in (mnist_files.ARCHIVE_MD5, mnist_files.UNPACKED_MD5)]
    return subprocess.Popen([sys.executable, "-c", program, data_dir, archives, *sums], **options)


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; ``faults`` maps file names to what goes wrong with them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.faults: dict[str, str] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}/mnist/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.removeprefix("/mnist/")
        self.server.requests.append(name)
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
            pass  # the client has closed the connection

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


def test_archives_are_downloaded_from_a_mirror(server: Server, data_dir: Path) -> None:
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
def test_a_failed_download_names_its_url_and_leaves_no_files(
    server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(mnist_files, "PATIENCE_S", 0.5)
    name = f"{TRAIN.images}.gz"
    server.faults[name] = fault
    expected = f"{server.address}{name}.*{message}.*{re.escape(mnist_files.WAYS_OUT)}"
    with pytest.raises(InputError, match=expected):
        fetch(data_dir, mirror=server.address)
    assert_no_files_in(data_dir)


def test_an_endless_download_is_aborted(server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # an endless response has no Content-Length
    monkeypatch.setattr(Handler, "send_header", lambda *args: None)
    monkeypatch.setattr(mnist_files, "MAX_ARCHIVE_BYTES", 2**20)
    server.faults[f"{TRAIN.images}.gz"] = "endless"
    with pytest.raises(InputError, match=r"more than 1,048,576 bytes"):
        fetch(data_dir, mirror=server.address)
    assert_no_files_in(data_dir)


def test_a_failed_mirror_is_skipped_and_not_retried(
    server: Server, archives: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    monkeypatch.setattr(mnist_files, "PATIENCE_S", 1.0)
    monkeypatch.setattr(MNIST, "mirrors", [f"{server.address}missing/", server.address])
    fetch(data_dir)
    load(data_dir, TEST)
    assert [name for name in server.requests if "missing" in name] == [f"missing/{TRAIN.images}.gz"], "tried only once"


def test_unresponsive_mirrors_time_out_within_15_seconds(
    server: Server, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    assert mnist_files.PATIENCE_S < 15
    # a fifth of the timeout, shared by as many mirrors as torchvision has
    patience = mnist_files.PATIENCE_S / 5
    monkeypatch.setattr(mnist_files, "PATIENCE_S", patience)
    monkeypatch.setattr(MNIST, "mirrors", [server.address] * len(MNIST.mirrors))
    server.faults = dict.fromkeys((f"{name}.gz" for name in mnist_files.ARCHIVE_MD5), "silent")
    with pytest.raises(InputError) as error:
        fetch(data_dir)
    assert str(error.value).count(f"no answer for {patience / 2:.0f} s") == len(MNIST.mirrors)


@pytest.mark.parametrize("mirror", ["file:///tmp", "example", ""])
def test_a_mirror_must_be_an_http_url(data_dir: Path, mirror: str) -> None:
    with pytest.raises(InputError, match=r"^mirror .*http\(s\)"):
        fetch(data_dir, mirror=mirror)
    assert not data_dir.exists()
