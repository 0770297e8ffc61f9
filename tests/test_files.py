"""Creating output files: existing ones are never overwritten, and errors name option and path."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnist_lstm.errors import InputError
from mnist_lstm.files import TEMPORARY, open_new, refuse_existing, write


def test_new_files_take_text_or_bytes() -> None:
    with open_new(Path("text"), "--output") as file:
        file.write("ä\n")
    with open_new(Path("bytes"), "--sheet", binary=True) as file:
        file.write(b"\xff")
    assert Path("text").read_bytes() == "ä\n".encode()
    assert Path("bytes").read_bytes() == b"\xff"


@pytest.mark.parametrize("make", ["file", "folder", "broken link"])
def test_existing_paths_are_refused_and_kept(make: str) -> None:
    path = Path("there")
    if make == "file":
        path.write_text("mine")
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(InputError, match=r"^--output there: exists"):
        refuse_existing(path, "--output")
    with pytest.raises(InputError, match=r"^--output there: exists"), open_new(path, "--output"):
        pass
    assert not Path("nowhere").exists()
    assert make != "file" or path.read_text() == "mine"


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "old").touch()
    with pytest.raises(InputError, match=r"^--output ~/old: exists"):
        refuse_existing(Path("~/old"), "--output")
    with open_new(Path("~/new"), "--output"):
        pass
    assert (tmp_path / "new").exists()
    with pytest.raises(InputError, match=r"^--output ~nobody-of-this-name/new: .*user"):
        refuse_existing(Path("~nobody-of-this-name/new"), "--output")


def test_a_path_that_cannot_be_written_is_refused() -> None:
    with (
        pytest.raises(InputError, match=r"^--output none/new: .*No such file or directory"),
        open_new(Path("none/new"), "--output"),
    ):
        pass


def test_a_new_file_is_there_when_it_is_whole_and_not_before() -> None:
    with open_new(Path("new"), "--output") as file:
        file.write("all")
        file.flush()
        assert not Path("new").exists()
    assert Path("new").read_text() == "all"
    with pytest.raises(KeyboardInterrupt), open_new(Path("other"), "--output") as file:
        file.write("a part" + interrupt())
    assert names() == ["new"]


def test_a_name_taken_meanwhile_is_not_overwritten() -> None:
    with pytest.raises(InputError, match=r"^--output new: exists already"), open_new(Path("new"), "--output") as file:
        file.write(str(Path("new").write_text("theirs")))
    assert Path("new").read_text() == "theirs"
    assert names() == ["new"]


def test_a_written_file_replaces_a_link_and_leaves_what_it_points_to() -> None:
    Path("outside").write_bytes(b"mine")
    Path("link").symlink_to("outside")
    write(Path("link"), b"new")
    assert (Path("outside").read_bytes(), Path("link").read_bytes()) == (b"mine", b"new")
    assert not Path("link").is_symlink()


LIMITED = """
import resource, sys
from pathlib import Path
from mnist_lstm.files import open_new, write
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
if sys.argv[1] == "write":
    write(Path("old"), bytes(300_000))
else:
    with open_new(Path("new"), "--output") as file:
        file.write("x" * 300_000)
"""


@pytest.mark.parametrize(("how", "name"), [("write", r"old"), ("open_new", r"--output new")])
def test_a_file_that_does_not_fit_is_named_and_the_one_of_before_stays(how: str, name: str) -> None:
    pytest.importorskip("resource")
    Path("old").write_bytes(b"before")
    process = subprocess.run([sys.executable, "-c", LIMITED, how], capture_output=True, text=True, check=False)
    of = " of 300,000" if how == "write" else ""
    last = process.stderr.splitlines()[-1]
    assert last == f"mnist_lstm.errors.WriteError: {name}: cannot be written (File too large after 100,000{of} bytes)"
    assert Path("old").read_bytes() == b"before"
    assert names() == ["old"]


KILLED = """
import sys
from pathlib import Path
from mnist_lstm.files import open_new, scratch_folder
with scratch_folder(Path()) as folder, open_new(Path("new"), "--output") as file:
    (folder / "part").touch()
    print("writing", flush=True)
    input()
"""


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_writes_is_kept() -> None:
    others = [".mnist-lstm-mine.tmp", ".mnist-lstm-0123456789abcdef.tmp~", "0123456789abcdef.tmp"]
    for name in others:
        Path(name).touch()
    link = Path(f".mnist-lstm-{'0' * 16}.tmp")
    link.symlink_to("nowhere")
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        write(Path("another"), b"")
        assert sum(bool(TEMPORARY.fullmatch(name)) for name in names()) == 3, "the link, and two that are in use"
        process.kill()
    assert "new" not in names()
    subprocess.run([sys.executable, "-c", "from mnist_lstm.files import *; write(Path('another'), b'')"], check=True)
    assert names() == sorted([*others, link.name, "another"])


def test_many_processes_replace_one_file_at_once() -> None:
    program = "from mnist_lstm.files import write; from pathlib import Path\n"
    program += "for i in range(50): write(Path('file'), bytes([i]) * 5000)"
    processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(4)]
    while any(process.poll() is None for process in processes):
        content = Path("file").read_bytes() if Path("file").exists() else b""
        assert len(content) in (0, 5000)
        assert len(set(content)) <= 1
    assert [process.wait() for process in processes] == [0] * 4
    assert names() == ["file"]


def interrupt() -> str:
    raise KeyboardInterrupt


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())
