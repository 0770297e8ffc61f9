"""Creating output files: existing ones are never overwritten, and errors name option and path."""

from pathlib import Path

import pytest

from mnist_lstm.errors import InputError
from mnist_lstm.files import open_new, refuse_existing


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
    for attempt in (refuse_existing, open_new):
        with pytest.raises(InputError, match=r"^--output there: exists"):
            attempt(path, "--output")
    assert not Path("nowhere").exists()
    assert make != "file" or path.read_text() == "mine"


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "old").touch()
    with pytest.raises(InputError, match=r"^--output ~/old: exists"):
        refuse_existing(Path("~/old"), "--output")
    open_new(Path("~/new"), "--output").close()
    assert (tmp_path / "new").exists()
    with pytest.raises(InputError, match=r"^--output ~nobody-of-this-name/new: .*user"):
        open_new(Path("~nobody-of-this-name/new"), "--output")


def test_a_path_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--output none/new: .*No such file or directory"):
        open_new(Path("none/new"), "--output")
