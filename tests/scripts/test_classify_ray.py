"""Ray Data: two actors on this machine read some hundred pictures as the command does."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, Command
from PIL import Image

from mnist_lstm.data.datasets import load_sklearn_digits

SCRIPT = REPOSITORY / "scripts" / "classify_ray.py"

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs pip install 'mnist-lstm[ray]'")


def run(*args: str) -> "subprocess.CompletedProcess[str]":
    # the actors are processes that Ray starts elsewhere
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    program = [sys.executable, str(SCRIPT), *args]
    return subprocess.run(program, capture_output=True, text=True, check=False, env=environment)


@needs_ray
@pytest.mark.slow
def test_two_actors_answer_as_the_command_does(command: Command) -> None:
    folder = Path("pictures").absolute()
    folder.mkdir()
    for number, image in enumerate(load_sklearn_digits()[0][:300]):
        Image.fromarray(image).save(folder / f"{number:04d}.png")
    (folder / "broken.png").write_bytes(b"x")
    first, second = [Image.fromarray(image) for image in load_sklearn_digits()[0][:2]]
    first.save(folder / "pages.tif", save_all=True, append_images=[second])
    done = run(str(folder), "answers", "--actors", "2")
    assert done.returncode == 0, done.stderr
    assert command("classify", folder, "--format", "parquet", "--output", "expected")[0] == 2
    columns = ["file", "index", "digit", "status", "message"]
    rows, expected = (
        sorted(map(tuple, (row.values() for row in pq.read_table(name, columns=columns).to_pylist())), key=str)
        for name in ("answers", "expected")
    )
    assert rows == expected
    assert len(rows) == 303


def test_answers_are_new() -> None:
    Path("answers").mkdir()
    done = run("pictures", "answers")
    assert done.returncode == 2
    assert (
        done.stderr
        == "classify_ray: error: ANSWERS answers: exists already and is not overwritten; name another file\n"
    )
