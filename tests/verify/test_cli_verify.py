"""``mnist-lstm verify``: one line a file, exit code 0 if all are whole; hostile files are survived."""

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Evil

from mnist_lstm.data.mnist_files import TEST, TRAIN, raw_folder
from mnist_lstm.verify import cli


@pytest.fixture(autouse=True)
def _tiny_mnist(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny MNIST pass for the published one."""
    from mnist_lstm.data.mnist_files import ARCHIVE_MD5, UNPACKED_MD5

    monkeypatch.setattr(cli, "MD5", UNPACKED_MD5 | {f"{name}.gz": md5 for name, md5 in ARCHIVE_MD5.items()})


def test_whole_folders_and_the_shipped_weights_give_a_line_a_file(
    command: Command, trained: Path, archives: Path
) -> None:
    code, out, err = command("verify", "runs", "data", archives, "pretrained")
    assert (code, err) == (0, "")
    assert all(line.startswith("whole    ") for line in out.splitlines())
    assert len(out.splitlines()) == 2 + 4 + 4 + 1
    assert f"whole    {trained / 'best.ckpt'}: checkpoint with " in out
    assert f"{raw_folder(Path('data')) / TRAIN.images}: MNIST, as published\n" in out


def test_damaged_files_are_named_with_the_reason(command: Command, trained: Path) -> None:
    content = (trained / "last.ckpt").read_bytes()
    (trained / "last.ckpt").write_bytes(content[:-100] + b"x" + content[-99:])
    labels = raw_folder(Path("data")) / TEST.labels
    labels.write_bytes(labels.read_bytes()[:-1] + b"\1")
    code, out, err = command("verify", "runs", "data")
    assert (code, err) == (1, "")
    damaged = [line for line in out.splitlines() if line.startswith("damaged  ")]
    assert len(damaged) == 2
    assert f"damaged  {trained / 'last.ckpt'}: is damaged: it is not what was written, by its own digest" in damaged
    assert f"damaged  {labels}: is damaged or not MNIST: its MD5 sum is " in out


def test_nothing_found_is_no_success(command: Command) -> None:
    Path("empty").mkdir()
    code, out, err = command("verify", "empty", "missing.ckpt")
    assert (code, out) == (1, "damaged  missing.ckpt: no such file\n")
    assert "empty: holds no checkpoint" in err


def test_hostile_files_are_survived(command: Command, trained: Path) -> None:
    folder = Path("odd\n\x1b[31m")
    folder.mkdir()
    (folder / "a.ckpt").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": Evil()}, folder / "b.ckpt")
    os.mkfifo(folder / "c.ckpt")
    (folder / "d.ckpt").symlink_to("/dev/zero")
    (folder / "e.ckpt").symlink_to("e.ckpt")
    (folder / "f.ckpt").mkdir()
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / TRAIN.images)
    with (folder / "g.ckpt").open("wb") as file:
        file.truncate(2**40)
    (folder / "é 7.ckpt").symlink_to((trained / "best.ckpt").absolute())
    code, out, err = command("verify", folder, "/dev/zero")
    assert code == 1
    assert "Traceback" not in out + err
    assert not Path("it ran").exists()
    lines = out.splitlines()
    assert len(lines) == 9
    assert all("odd\\n\\x1b[31m/" in line for line in lines[:-1])
    assert [line for line in lines if line.startswith("whole")] == [line for line in lines if "é 7" in line]


@pytest.mark.slow
def test_a_folder_with_100000_files_is_searched(command: Command, trained: Path) -> None:
    folder = Path("many")
    folder.mkdir()
    for number in range(100_000):
        (folder / f"{number}.txt").touch()
    shutil.copy(trained / "best.ckpt", folder)
    code, out, _ = command("verify", folder)
    assert (code, out.count("\n")) == (0, 1)
