"""Outputs that a killed run has left are continued: no row is missing, none is there twice."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Command, fail, succeed
from disks import grow, no_file_larger_than, small_disk
from drawing import STROKES, draw
from PIL import Image

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.inference import batches, parquet, sources

FORMATS = ("csv", "json", "parquet")
# small batches and parts, so that a kill comes between several of them
PROGRAM = """\
import sys
from mnist_lstm.inference import batches, parquet
batches.BATCH_SIZE, parquet.PART_ROWS = 20, 50
from mnist_lstm.cli import main
sys.exit(main(sys.argv[1:]))
"""
COUNT = 300
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@pytest.fixture
def folder() -> Path:
    """Write pictures, pages and files that cannot be read; `COUNT` rows in all."""
    folder = Path("pictures")
    folder.mkdir()
    one, *pages = [Image.fromarray(digit) for digit in load_sklearn_digits()[0][:7]]
    one.save(folder / "pages.tif", save_all=True, append_images=pages)  # 7 rows
    for name in ("a.png", "zz.png", "two\\nlines\\n.png", 'ü "x", y.png'):
        (folder / name.encode().decode("unicode_escape" if "\\" in name else "utf-8")).write_bytes(b"broken")
    np.save("images.npy", np.stack([np.asarray(one)] * 50))
    for number in range(COUNT - 7 - 4 - 50):
        pages[number % len(pages)].save(folder / f"{number:04d}.png")
    return folder


def args(kind: str, output: str, *more: str) -> list[str]:
    return ["classify", "pictures", "images.npy", "--format", kind, "--output", output, *more]


def content(kind: str, output: str) -> list[dict]:
    """Return the rows of an output; floats by so many digits as do not depend on how pictures were put together."""
    if kind == "csv":
        with Path(output).open(newline="", encoding="utf-8") as file:
            rows: list[dict] = list(csv.DictReader(file, strict=True))
    elif kind == "json":
        rows = [json.loads(line) for line in Path(output).read_text(encoding="utf-8").splitlines()]
    else:
        rows = pq.read_table(output).to_pylist()
    keys = ("file", "index", "digit", "status", "message")
    return [{key: row[key] for key in keys} | {"probability": f"{float(row['probability'] or 0):.3f}"} for row in rows]


def size(output: Path) -> int:
    if output.is_dir():
        return sum(1 for _ in output.glob("part-*"))
    return output.stat().st_size if output.exists() else 0


def kill_when(ready: Callable[[], bool], command: list[str]) -> bool:
    """Start a command and kill it when it is ready for it; return whether it was still running."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        while running.poll() is None and not ready():
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        return running.wait() == -signal.SIGKILL


def kill_and_resume(command: Command, kind: str, kills: int, seed: int) -> int:
    """Kill runs at a random size of their output, resume, and compare with a run that was not killed."""
    rng = random.Random(seed)
    code, _, _ = command(*args(kind, "whole"))
    assert code == 2, "some pictures cannot be read"
    total, killed = size(Path("whole")), 0
    for _ in range(kills):
        output = Path("killed")
        start = size(output)
        if start >= total:
            break
        goal = rng.randint(start + 1, total)
        delay = rng.random() * 0.05

        def ready(output: Path = output, goal: int = goal, delay: float = delay) -> bool:
            if size(output) < goal:
                return False
            time.sleep(delay)
            return True

        killed += kill_when(ready, args(kind, "killed", "--resume"))
    code, _, err = command(*args(kind, "killed", "--resume"))
    assert code == 2, err
    rows = content(kind, "killed")
    assert rows == content(kind, "whole")
    assert len(rows) == COUNT
    return killed


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_run_is_continued(command: Command, folder: Path) -> None:
    assert kill_and_resume(command, "csv", kills=2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_thirty_kills(command: Command, folder: Path, kind: str, tmp_path: Path) -> None:
    killed = series = 0
    while killed < 30:
        Path("whole").rename(f"whole{series}") if Path("whole").exists() else None
        Path("killed").rename(f"killed{series}") if Path("killed").exists() else None
        killed += kill_and_resume(command, kind, kills=5, seed=series)
        series += 1
    print(f"{kind}: {killed} kills in {series} series")


def check_full(result: tuple[int, str, str], reason: str) -> None:
    """Check that a run has ended in one line about its output."""
    code, out, err = result
    assert (code, out) == (1, ""), err
    (line,) = re.findall("^mnist-lstm: error: --output .*", err, re.MULTILINE)
    assert re.search(rf": cannot be written \({reason}( after [\d,]+ bytes)?\); --resume continues it$", line)
    assert err.endswith(f"{line}\n")


@pytest.mark.skipif(os.name == "nt", reason="a limit on the size of files")
@pytest.mark.parametrize("kind", FORMATS)
def test_an_output_that_does_not_fit_is_one_line_and_is_continued(
    command: Command, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_SIZE", 20)
    monkeypatch.setattr(parquet, "PART_ROWS", 50)
    command(*args(kind, "whole"))
    with no_file_larger_than(6_000):
        check_full(command(*args(kind, "output")), "File too large")
    command(*args(kind, "output", "--resume"))
    assert content(kind, "output") == content(kind, "whole")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_full_disks_and_kills_on_them(
    command: Command, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_SIZE", 20)
    monkeypatch.setattr(parquet, "PART_ROWS", 50)
    command(*args(kind, "whole"))
    whole, output = content(kind, "whole"), Path("whole")
    pages = (sum(file.stat().st_size for file in (output.iterdir() if output.is_dir() else [output])) - 1) // PAGE
    rng = random.Random(0)
    killed, kept = 0, []
    for _ in range(7):
        with small_disk(rng.randint(1, pages) * PAGE) as disk:
            output, delay = disk / "output", rng.random() * 0.2
            killed += kill_when(
                lambda output=output, delay=delay: size(output) > 0 and time.sleep(delay) is None,
                args(kind, str(output), "--resume"),
            )
            check_full(command(*args(kind, str(output), "--resume")), "No space left on device")
            if kind != "parquet":
                lines = output.read_bytes()
                Path("lines").write_bytes(lines[: lines.rfind(b"\n") + 1])
            rows = content(kind, str(output) if kind == "parquet" else "lines")
            assert rows == whole[: len(rows)]
            kept.append(len(rows))
            grow(disk, 64 * (pages + 1) * PAGE)
            code, _, err = command(*args(kind, str(output), "--resume"))
            assert code == 2, err
            assert content(kind, str(output)) == whole
    print(f"{kind}: {killed} kills; {len(kept)} full disks, with {kept} of {len(whole)} rows")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_text_cut_anywhere_is_continued(command: Command, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pictures").mkdir()
    digit = Image.fromarray(draw(7)).resize((28, 28))
    for name in ("1.png", 'ü, ".png'):
        digit.save(f"pictures/{name}")
    np.save("images.npy", np.hstack([np.pad(draw(1), 9), np.pad(draw(7), 9)])[None])
    assert command(*args(kind, "whole", "--split"))[0] == 0
    whole = Path("whole").read_bytes()
    rows = [0, *(end for end in range(1, len(whole) + 1) if whole[end - 1 : end] == b"\n")]
    cuts = sorted({0, 3, *rows[-2:], *(end - 1 for end in rows[-3:]), rows[-2] + 3, len(whole) // 2})
    for cut in cuts:
        Path("cut").write_bytes(whole[:cut])
        assert command(*args(kind, "cut", "--split", "--resume"))[0] == 0, cut
        assert content(kind, "cut") == content(kind, "whole"), cut


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_there_is_not_read_again(
    command: Command, folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 100)
    assert command(*args(kind, "output"))[0] == 2
    before = content(kind, "output")
    opened: list[str] = []
    array_file = sources._array_file
    monkeypatch.setattr(
        sources, "_array_file", lambda file, path, limit: opened.append(str(path)) or array_file(file, path, limit)
    )
    code, _, err = command(*args(kind, "output", "--resume"))
    assert (code, opened) == (2, ["images.npy"]), "the last file might have more"
    assert "output: 0 pictures read" in err
    assert content(kind, "output") == before


@pytest.mark.parametrize("kind", FORMATS)
def test_outputs_are_new_and_of_the_same_pictures(command: Command, kind: str) -> None:
    for digit in STROKES:
        Image.fromarray(draw(digit)).save(f"{digit}.png")
    succeed(command, "classify", "1.png", "3.png", "--format", kind, "--output", "output")
    before = content(kind, "output")
    assert "--output output: " in fail(command, "classify", "1.png", "--format", kind, "--output", "output")
    assert "row 2 is of 3.png, where 2.png should be" in fail(
        command, "classify", "1.png", "2.png", "3.png", "--format", kind, "--output", "output", "--resume"
    )
    assert "row 2 is of 3.png, which is not among the pictures" in fail(
        command, "classify", "1.png", "--format", kind, "--output", "output", "--resume"
    )
    assert content(kind, "output") == before
    succeed(command, "classify", "1.png", "3.png", "7.png", "--format", kind, "--output", "output", "--resume")
    assert [row["file"] for row in content(kind, "output")] == ["1.png", "3.png", "7.png"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_other_files_are_not_continued(command: Command, kind: str) -> None:
    Image.fromarray(draw(7)).save("7.png")
    for text in ("notes", "notes\nmore\n", "{}\n", "file,index\n"):
        Path("output").write_text(text)
        err = fail(command, "classify", "7.png", "--format", kind, "--output", "output", "--resume")
        assert f"output: has something else than rows of --format {kind}" in err
        assert Path("output").read_text() == text


def test_other_folders_are_not_continued(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 1)
    np.save("a.npy", np.stack([draw(7)] * 3))
    resume = ["classify", "a.npy", "--format", "parquet", "--output", "output", "--resume"]
    succeed(command, *resume)
    assert sorted(path.name for path in Path("output").iterdir()) == [f"part-{n:05d}.parquet" for n in range(3)]
    assert "part-00000.parquet has other columns" in fail(command, *resume, "--split")
    Path("output/part-00001.parquet").rename("second")
    assert "has part-00002.parquet; a part before it is missing" in fail(command, *resume)
    Path("output/part-00001.parquet").write_bytes(Path("second").read_bytes()[:-9])
    assert "part-00001.parquet is damaged" in fail(command, *resume)
    Path("output/notes").touch()
    assert "has notes; name a new folder" in fail(command, *resume)


@pytest.mark.skipif(os.name == "nt", reason="locks")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_two_processes_do_not_write_one_output(command: Command, kind: str) -> None:
    os.mkfifo("pipe")  # nobody writes into it, so the first command waits
    np.save("a.npy", draw(7))
    call = ["classify", "a.npy", "pipe", "--format", kind, "--output", "output", "--resume"]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *call], stderr=subprocess.DEVNULL) as first:
        try:
            while first.poll() is None and not Path("output").exists():
                time.sleep(0.05)
            time.sleep(0.2)
            assert "output: another process is writing it" in fail(command, *call)
        finally:
            first.kill()


def test_parquet_without_pyarrow_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "pa", None)
    err = fail(command, "classify", "x", "--format", "parquet", "--output", "output")
    assert err == "mnist-lstm: error: --format parquet needs pyarrow: pip install 'mnist-lstm[parquet]'\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "parquet"], "--format parquet: name the output with --output"),
        (["--resume"], "--resume: name the output with --output"),
        (["--output", "x"], "--output: name its format, --format csv, json or parquet"),
    ],
)
def test_options_that_do_not_go_together_are_refused(command: Command, options: list[str], message: str) -> None:
    assert message in fail(command, "classify", "x.png", *options)


def test_an_output_of_nothing_says_what_its_columns_are(command: Command) -> None:
    np.save("a.npy", draw(7)[None])
    for kind in FORMATS:
        for number in (1, 2):
            command("classify", "a.npy", "--format", kind, "--output", f"{number}.{kind}", "--shard", f"{number}/2")
    assert sorted(len(content("csv", f"{number}.csv")) for number in (1, 2)) == [0, 1]
    assert sorted(pq.read_table(f"{number}.parquet").num_rows for number in (1, 2)) == [0, 1]
    assert sorted(Path(f"{number}.json").stat().st_size > 0 for number in (1, 2)) == [False, True]
