"""Folders: subfolders, what is skipped, and links that lead nowhere or in circles."""

import os
from pathlib import Path

import pytest
from conftest import Command, succeed
from drawing import draw
from PIL import Image

from mnist_lstm.inference.folders import MAX_ENDINGS, find_pictures
from mnist_lstm.inference.sources import expand

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


def make(*names: str) -> None:
    """Create empty files and the folders that they are in."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(folder: str, recursive: bool = False) -> list[str]:
    return [path for path, _ in find_pictures(folder, recursive)]


def note(folder: str, recursive: bool = False) -> str:
    notes: list[str] = []
    list(find_pictures(folder, recursive, notes.append))
    return "".join(notes)


def test_recursive_reads_subfolders_sorted_by_path() -> None:
    make("a/1.png", "a/b/2.JPG", "a/b/c/3.heic", "a/z.pdf", "a/d/4.avif")
    assert found("a") == ["a/1.png", "a/z.pdf"]
    assert found("a", recursive=True) == ["a/1.png", "a/b/2.JPG", "a/b/c/3.heic", "a/d/4.avif", "a/z.pdf"]
    assert note("a") == "2 subfolders skipped (--recursive reads them)"
    assert note("a", recursive=True) == ""


def test_skipped_files_are_counted_by_ending_in_all_subfolders() -> None:
    make("a/1.png", "a/x.txt", "a/y.TXT", "a/b/z.txt", "a/b/q.csv", "a/b/README", "a/b/r.npy")
    assert note("a") == "2 files skipped: .txt 2; 1 subfolder skipped (--recursive reads them)"
    assert note("a", recursive=True) == "6 files skipped: .txt 3, .csv 1, .npy 1, no ending 1"


def test_many_endings_are_counted_together() -> None:
    make(*(f"a/x.{letter}" for letter in "abcdefghijkl"), "a/y.l")
    others = 12 - MAX_ENDINGS
    assert note("a") == f"13 files skipped: .l 2, .a 1, .b 1, .c 1, .d 1, .e 1, .f 1, .g 1, others {others}"


def test_endings_cannot_control_the_terminal_or_fill_it() -> None:
    make("a/x.\x1b[31m", "a/x." + "y" * 200)
    text = note("a")
    assert text.isprintable()
    assert len(text) < 100


def test_hidden_files_and_folders_are_left_out() -> None:
    make("a/.DS_Store", "a/._7.png", "a/.thumbnails/7.png", "a/7.png")
    assert found("a", recursive=True) == ["a/7.png"]
    assert note("a") == note("a", recursive=True) == ""


@needs_links
def test_links_are_not_followed() -> None:
    make("outside/secret.png", "a/1.png", "a/b/2.png")
    Path("a/b/up").symlink_to("..", target_is_directory=True)
    Path("a/outside").symlink_to("../outside", target_is_directory=True)
    Path("a/file.png").symlink_to("../outside/secret.png")
    Path("a/nowhere.png").symlink_to("nowhere")
    assert found("a", recursive=True) == ["a/1.png", "a/b/2.png"]
    assert note("a", recursive=True) == "4 links skipped"
    Path("link").symlink_to("a", target_is_directory=True)
    assert found("link") == ["link/1.png"], "named by the user"


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_subfolder_is_reported() -> None:
    make("a/1.png", "a/b/2.png")
    Path("a/b").chmod(0)
    try:
        first, second = expand(["a"], recursive=True)
    finally:
        Path("a/b").chmod(0o700)
    assert first.file == "a/1.png"
    assert second.message == "cannot be read (Permission denied)"


def test_subfolder_that_vanishes_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    make("a/1.png", "a/b/2.png")
    scandir = os.scandir

    def vanished(path: str) -> object:
        if path != "a/":
            raise FileNotFoundError(2, "No such file or directory", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanished)
    first, second = expand(["a"], recursive=True)
    assert first.file == "a/1.png"
    assert (second.file, second.message) == ("a/b", "cannot be read (No such file or directory)")


def test_each_folder_has_one_note_on_standard_error(command: Command) -> None:
    make("a/x.txt", "b/y.txt", "b/c/z.csv")
    for folder in ("a", "b", "b/c"):
        Image.fromarray(draw(7)).save(f"{folder}/7.png")
    out, err = succeed(command, "classify", "a", "b", "--recursive", "--format", "csv")
    assert err == ("mnist-lstm: a: 1 file skipped: .txt 1\nmnist-lstm: b: 2 files skipped: .csv 1, .txt 1\n")
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == ["a/7.png", "b/7.png", "b/c/7.png"]


def test_folder_without_pictures_says_what_it_holds(command: Command) -> None:
    make("a/x.txt", "a/b/7.png")
    code, _, err = command("classify", "a")
    assert code == 2
    assert err == (
        "mnist-lstm: a: 1 file skipped: .txt 1; 1 subfolder skipped (--recursive reads them)\n"
        "mnist-lstm: error: a: contains no picture files\n"
    )
