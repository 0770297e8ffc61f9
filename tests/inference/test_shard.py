"""Shards: every picture is in one of them, on every machine."""

import csv
import io
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, fail, succeed, to_idx
from drawing import STROKES, draw
from PIL import Image

from mnist_lstm.inference.shard import Shard
from mnist_lstm.inference.sources import expand, read

NAMES = [
    *(f"img{number:04d}.png" for number in range(200)),
    *(
        "ü.png",
        "u\u0308.png",
        "数字/七.png",
        "a b.png",
        "two\nlines.png",
        "back\\slash.png",
        "-.png",
        "a.b/c.png",
        "a/b.png",
    ),
    *("'quoted\".png", "\x1b[31m.png", os.fsdecode(b"no text \xff.png"), "A.PNG", "deep/er/x.png", "a-/b.png"),
]


@pytest.fixture
def folder() -> Path:
    folder = Path("pictures")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(folder: Path, shard: Shard | None) -> list[str]:
    files = expand([str(folder)], recursive=True, shard=shard)
    return [Path(file.file).relative_to(folder).as_posix() for file in files]


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses such names")
@pytest.mark.parametrize("total", [1, 2, 3, 7, 64])
def test_every_file_of_a_folder_is_in_one_shard(folder: Path, total: int) -> None:
    shards = [names(folder, Shard(number, total)) for number in range(1, total + 1)]
    assert sorted(name for shard in shards for name in shard) == sorted(NAMES)
    assert all(shard == sorted(shard) for shard in shards), "in the order in which they would be read without shards"
    assert max(map(len, shards)) < 2 * len(NAMES) / total + 8
    halves = [names(folder, Shard(number, 2 * total)) for number in range(1, 2 * total + 1)]
    for number, shard in enumerate(shards):
        assert sorted(halves[number] + halves[number + total]) == shard


def test_shards_do_not_depend_on_the_order_of_the_file_system_or_where_a_folder_lies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(folder, Shard(2, 3))
    Path("mounted/here").mkdir(parents=True)
    moved = folder.rename("mounted/here/data")
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = list(entries)
            random.Random(0).shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert names(moved, Shard(2, 3)) == before


def test_a_new_file_moves_no_other(folder: Path) -> None:
    before = [names(folder, Shard(number, 3)) for number in (1, 2, 3)]
    (folder / "0 new.png").touch()
    after = [names(folder, Shard(number, 3)) for number in (1, 2, 3)]
    assert sum(shard.count("0 new.png") for shard in after) == 1
    assert [[name for name in shard if name != "0 new.png"] for shard in after] == before


def test_the_shard_of_a_name_is_fixed() -> None:
    # machines with different versions of Python and of this package must agree
    assert [Shard(1, 1000).indices(name).start for name in ("img0001.png", "数字/七.png")] == [102, 673]


def test_images_and_pages_of_files_are_dealt_in_turn() -> None:
    digits = np.stack([draw(digit) for digit in (1, 2, 3, 4, 7, 7, 1)])
    np.save("a.npy", digits)
    Path("b-idx3-ubyte").write_bytes(to_idx(digits))
    Path("short-idx3-ubyte").write_bytes(to_idx(np.zeros((40_000, 28, 28), np.uint8))[:-1])
    first, *rest = [Image.fromarray(digit) for digit in digits]
    first.save("c.tif", save_all=True, append_images=rest)
    first.save("one.png")
    Path("broken.png").write_bytes(b"x")
    files = ["a.npy", "b-idx3-ubyte", "c.tif", "one.png", "broken.png", "short-idx3-ubyte"]
    for total in (1, 2, 3, 10):
        found: Counter[tuple[str, int | None]] = Counter()
        for number in range(1, total + 1):
            shard = list(read(expand(files, shard=Shard(number, total)), 10_000))
            for file in files[:3]:
                assert sum(source.file == file for source in shard) in (7 // total, -(-7 // total))
            found.update((source.file, source.index) for source in shard)
        assert set(found.values()) == {1}
        several = {(file, index) for file in files[:3] for index in range(7)}
        assert {key for key in found if key[0] != "short-idx3-ubyte"} == several | {
            ("one.png", None),
            ("broken.png", None),
        }
        assert sum(file == "short-idx3-ubyte" for file, _ in found) in (10_000, 1)


@pytest.mark.parametrize("value", ["0/3", "4/3", "1/0", "1", "/3", "1/", "-1/3", "a/b", "1.0/3", "1/2/3", ""])
def test_wrong_values_are_refused(command: Command, value: str) -> None:
    assert f"argument --shard: {value}: must be i/n with 1 <= i <= n" in fail(
        command, "classify", "x", f"--shard={value}"
    )


def test_a_shard_refuses_what_other_machines_may_see(command: Command) -> None:
    Path("empty").mkdir()
    assert "empty: contains no picture files; with --shard, every" in fail(
        command, "classify", "empty", "--shard", "1/2"
    )
    assert "gone: no such file; with --shard, every machine" in fail(command, "classify", "gone", "--shard", "1/2")
    assert "--shard: standard input" in fail(command, "classify", "-", "--shard", "1/2")


def test_rows_of_all_shards_are_those_of_one_command(command: Command) -> None:
    Path("a").mkdir()
    for digit in STROKES:
        Image.fromarray(draw(digit)).save(f"a/{digit}.png")
    np.save("b.npy", np.stack([draw(7), draw(1)]))
    args = ["classify", "a", "b.npy", "--format", "csv"]
    whole, _ = succeed(command, *args)
    parts = [succeed(command, *args, "--shard", f"{number}/2")[0] for number in (1, 2)]
    rows = [row for part in parts for row in csv.reader(io.StringIO(part)) if row[0] != "file"]
    assert sorted(rows) == sorted(row for row in csv.reader(io.StringIO(whole)) if row[0] != "file")
