"""Find the four files of MNIST on disk, unpack them from a folder of archives, or download them.

They lie where torchvision puts them, in ``<data_dir>/MNIST/raw/``, so that torchvision and this package share one copy.
Every archive and every unpacked file must have the published MD5 sum. Archives are downloaded into a temporary folder;
files get their names when they are whole, so that an interrupted run leaves nothing that looks complete and concurrent
runs do not interfere.
"""

import contextlib
import errno
import gzip
import hashlib
import http.client
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mnist_lstm.data.idx import read_idx, read_images, read_labels
from mnist_lstm.errors import InputError, WriteError
from mnist_lstm.files import scratch_folder, write

PATIENCE_S = 8.0
"""Timeout in seconds without a new byte, shared by all mirrors."""

MAX_ARCHIVE_BYTES = 2**24
"""Maximum size of a download; the largest archive has 9,912,422 bytes."""

WAYS_OUT = (
    "Give a folder with the four published .gz archives (--data.archives DIR or MNIST_LSTM_ARCHIVES=DIR), "
    "another mirror (--data.mirror URL or MNIST_LSTM_MIRROR=URL), or use scikit-learn's digits (--data.dataset digits)"
)

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


class Pair(NamedTuple):
    """Names of an image file and its label file."""

    images: str
    labels: str


TRAIN = Pair("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = Pair("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

ARCHIVE_MD5 = {
    TRAIN.images: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    TRAIN.labels: "d53e105ee54ea40749a09fcbcd1e9432",
    TEST.images: "9fb629c4189551a2d022fa330f9573f3",
    TEST.labels: "ec29112dd5afa0611ce80d1b7f02629c",
}
"""MD5 sums of the published archives ``NAME.gz``."""

UNPACKED_MD5 = {
    TRAIN.images: "6bbc9ace898e44ae57da46a324031adb",
    TRAIN.labels: "a25bea736e30d166cdddb491f175f624",
    TEST.images: "2646ac647ad5339dbf082846283269ea",
    TEST.labels: "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 sums of the unpacked files."""


def raw_folder(data_dir: Path) -> Path:
    """Return the folder of the unpacked files, the one that torchvision's ``MNIST(data_dir)`` reads."""
    return data_dir / "MNIST" / "raw"


def is_complete(data_dir: Path) -> bool:
    """Return whether all four unpacked files are in the raw folder."""
    return all((raw_folder(data_dir) / name).is_file() for name in UNPACKED_MD5)


def load(data_dir: Path, pair: Pair) -> Arrays:
    """Read a pair of unpacked files, uint8 ``(N, 28, 28)`` and ``(N,)``, and check their MD5 sums."""
    raw = raw_folder(data_dir)
    arrays = _read_pair(raw / pair.images, raw / pair.labels)
    checked = _Checked(data_dir / "MNIST" / ".mnist-lstm-checked.json")
    for name in pair:
        if not checked.is_unchanged(raw / name, UNPACKED_MD5[name]):
            check_md5(raw / name, UNPACKED_MD5[name])
            checked.remember(raw / name, UNPACKED_MD5[name])
    return arrays


def fetch(data_dir: Path, archives: Path | None = None, mirror: str | None = None) -> None:
    """Unpack the files that are missing in the raw folder, which is created if it is missing too.

    Each comes from its archive: the one in the raw folder, else the one in the folder ``archives``, else one that
    torchvision downloads from ``mirror``, the http(s) URL of a folder, or from its own mirrors.

    Raises:
        InputError: an archive is missing, damaged or not the published one, no mirror answers, or the folder cannot
            be written. No partial file is left behind.
    """
    if is_complete(data_dir):
        return
    raw = raw_folder(data_dir)
    mirrors = _Mirrors(mirror)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with scratch_folder(raw) as folder:
            for pair in (TRAIN, TEST):
                _install(pair, raw, folder, archives, mirrors)
    except (WriteError, OSError) as error:
        reason = str(error) if isinstance(error, WriteError) else f"{raw}: {error.strerror or error}"
        raise InputError(
            f"{reason}; MNIST cannot be unpacked there: free 70 MB or choose another folder with --data.data_dir DIR"
        ) from error


def _install(pair: Pair, raw: Path, scratch: Path, archives: Path | None, mirrors: "_Mirrors") -> None:
    sources = {name: raw / name for name in pair}
    missing = [name for name in pair if not sources[name].is_file()]
    for name in missing:
        sources[name] = _find_archive(name, raw, archives) or mirrors.download(name, scratch)
    _read_pair(sources[pair.images], sources[pair.labels])
    for name in missing:
        check_md5(sources[name], ARCHIVE_MD5[name])
    for name in missing:
        with gzip.open(sources[name]) as packed:
            write(raw / name, packed.read())


def _find_archive(name: str, raw: Path, archives: Path | None) -> Path | None:
    archive = raw / f"{name}.gz"
    if archive.is_file():
        return archive
    if archives is None:
        return None
    archive = archives / archive.name
    if not archive.is_file():
        files = ", ".join(f"{name}.gz" for name in ARCHIVE_MD5)
        raise InputError(f"{archive}: no such file; the folder of archives must hold {files}")
    return archive


def _read_pair(images_path: Path, labels_path: Path) -> Arrays:
    images, labels = read_images(images_path), read_labels(labels_path)
    if len(images) != len(labels):
        raise InputError(
            f"{images_path}: holds {len(images):,} images, but {labels_path} holds {len(labels):,} labels; "
            "delete both and download them again"
        )
    return images, labels


def check_md5(path: Path, published: str) -> None:
    """Refuse a file that is not the published one, by its MD5 sum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != published:
        raise InputError(
            f"{path}: is damaged or not MNIST: its MD5 sum is {found}, the published one is {published}; "
            "delete it and download it again"
        )


class _Checked:
    """Which files have had which MD5 sum, by their size and times: sums of unchanged files are not computed again.

    What is not remembered, because it is new or its folder is read-only, is computed again. So is everything by
    ``mnist-lstm verify``, which also finds what a disk has changed by itself.
    """

    YOUNG_NS = 2 * 10**9
    """A file this young might be changed again without getting another time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def is_unchanged(self, path: Path, md5: str) -> bool:
        """Return whether a file has had this sum, and the size and times of now."""
        return bool(self._known.get(path.name) == self._entry(path, md5))

    def remember(self, path: Path, md5: str) -> None:
        """Remember that a file has this sum."""
        entry = self._entry(path, md5)
        if time.time_ns() - max(entry[1:3]) > self.YOUNG_NS:
            self._known[path.name] = entry
            with contextlib.suppress(WriteError):
                write(self._path, json.dumps(self._known).encode())

    @staticmethod
    def _entry(path: Path, md5: str) -> list[Any]:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, md5]


class _Mirrors:
    """Download from mirrors in turn; one that fails is not tried again."""

    def __init__(self, mirror: str | None) -> None:
        if mirror is not None and not mirror.startswith(("http://", "https://")):
            raise InputError(f"mirror {mirror!r}: is not an http(s) URL; for a folder, use --data.archives DIR")
        self._left = [] if mirror is None else [mirror]
        self._failures: list[str] = []

    def download(self, name: str, scratch: Path) -> Path:
        """Download ``NAME.gz`` into ``scratch`` from the first mirror that has the published file."""
        # takes a second to import, and only downloads need it
        from torchvision.datasets import MNIST

        if not self._left and not self._failures:
            self._left = list(MNIST.mirrors)
        patience_s = PATIENCE_S / len(self._left + self._failures)
        while self._left:
            address = f"{self._left[0].rstrip('/')}/{name}.gz"
            # a new folder for each: a thread that hangs may write into its file later
            archive = Path(tempfile.mkdtemp(dir=scratch)) / f"{name}.gz"
            print(f"downloading {address}", file=sys.stderr, flush=True)
            try:
                _download(address, archive, patience_s)
                read_idx(archive)
                check_md5(archive, ARCHIVE_MD5[name])
                return archive
            # ValueError: also InputError, of a file that is not the published archive
            except (OSError, RuntimeError, http.client.HTTPException, ValueError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                reason = str(error) or repr(error)
                # the message of a bad file starts with its path, which will no longer exist
                self._failures.append(f"{address}: {reason.removeprefix(f'{archive}: ')}")
                self._left.pop(0)
        raise InputError(f"MNIST cannot be downloaded ({'; '.join(self._failures)}). {WAYS_OUT}")


def _download(address: str, archive: Path, patience_s: float) -> None:
    """Download a file with torchvision, with a timeout.

    torchvision's download has none, neither for the DNS look-up nor for reading, so it runs in a daemon thread, which
    is abandoned when it hangs.
    """
    from torchvision.datasets.utils import download_url

    errors: list[Exception] = []

    def work() -> None:
        try:
            download_url(address, str(archive.parent), archive.name)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work, name=f"download {archive.name}", daemon=True)
    thread.start()
    size, since = 0, time.monotonic()
    while thread.is_alive():
        thread.join(timeout=0.05)
        if archive.is_file() and archive.stat().st_size > size:
            size, since = archive.stat().st_size, time.monotonic()
        if size > MAX_ARCHIVE_BYTES:
            raise ValueError(f"sends more than {MAX_ARCHIVE_BYTES:,} bytes, the maximum for an archive of MNIST")
        if time.monotonic() - since > patience_s:
            raise TimeoutError(f"no answer for {patience_s:.0f} s")
    if errors:
        raise errors[0]
