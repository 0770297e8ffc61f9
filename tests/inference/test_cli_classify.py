"""``mnist-lstm classify``: inputs, output formats, errors, and accuracy on real MNIST."""

import csv
import gzip
import io
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REAL_ARCHIVES, REPOSITORY, Command, to_idx, write_archive
from drawing import STROKES, draw
from PIL import Image

from mnist_lstm.data import mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.inference import batches, load_classifier
from mnist_lstm.inference.classifier import PRETRAINED

PHOTOS = REPOSITORY.parent / "shared" / "photos"
DIGITS = list(STROKES)
MAIN = "import sys; from mnist_lstm.cli import main; sys.exit(main(sys.argv[1:]))"

needs_mnist = pytest.mark.skipif(not REAL_ARCHIVES, reason="set MNIST_LSTM_ARCHIVES to the folder of MNIST's archives")


@pytest.fixture
def pictures() -> list[str]:
    """Write a picture of each digit in `DIGITS` to the working directory, named after it."""
    for digit in DIGITS:
        Image.fromarray(draw(digit)).save(f"{digit}.png")
    return [f"{digit}.png" for digit in DIGITS]


def rows(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_table_shows_digit_and_second_choice(command: Command, pictures: list[str]) -> None:
    code, out, err = command("classify", *pictures)
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split("  ")[0] == "picture"
    for line, name, digit in zip(lines, pictures, DIGITS, strict=True):
        first, answer, share, unit, second, *_ = line.split()
        assert (first, answer, unit) == (name, str(digit), "%")
        assert 50 < float(share) <= 100
        assert second in "0123456789"
        assert second != answer


def test_json_has_one_object_per_line(command: Command, pictures: list[str]) -> None:
    code, out, _ = command("classify", "--format", "json", *pictures)
    assert code == 0
    for row, name, digit in zip(rows(out), pictures, DIGITS, strict=True):
        names = ["file", "index", "digit", "probability", "probabilities", "status", "message", "boxes", "marks"]
        assert list(row) == names
        assert (row["file"], row["index"], row["digit"], row["status"]) == (name, None, digit, "ok")
        assert row["message"] == ""
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max(row["probabilities"]) == row["probabilities"][digit]


def test_csv_starts_with_a_header(command: Command, pictures: list[str]) -> None:
    code, out, _ = command("classify", "--format=csv", *pictures)
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out)))
    assert [(row["file"], row["digit"], row["status"]) for row in table] == [
        (name, str(digit), "ok") for name, digit in zip(pictures, DIGITS, strict=True)
    ]
    assert float(table[0][f"p{DIGITS[0]}"]) == float(table[0]["probability"])


def test_command_and_python_agree(command: Command, pictures: list[str]) -> None:
    _, out, _ = command("classify", "--format", "json", *pictures)
    for row, prediction in zip(rows(out), load_classifier()(pictures), strict=True):
        assert row["digit"] == prediction.digit
        assert row["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-6)


def test_folder_is_replaced_by_its_picture_files(command: Command, pictures: list[str]) -> None:
    folder = Path("folder")
    (folder / "deeper").mkdir(parents=True)
    for name in pictures:
        Path(name).rename(folder / name)
    (folder / "7.png").rename(folder / "0 seven.PNG")
    (folder / "notes.txt").write_text("no picture")
    (folder / "deeper" / "9.png").write_bytes(b"")
    (folder / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.png")
    code, out, err = command("classify", "--format", "json", "folder")
    assert code == 0
    assert err == (
        "mnist-lstm: folder: 1 file skipped: .txt 1; 1 link skipped; 1 special file skipped; "
        "1 subfolder skipped (--recursive reads them)\n"
    )
    names = ["0 seven.PNG", "1.png", "2.png", "3.png", "4.png"]
    assert [row["file"] for row in rows(out)] == [f"folder/{name}" for name in names]
    assert [row["digit"] for row in rows(out)] == [7, 1, 2, 3, 4]


def test_folder_without_pictures_is_an_error(command: Command) -> None:
    Path("folder").mkdir()
    code, out, err = command("classify", "folder", "--format", "json")
    assert code == 2
    assert rows(out)[0]["status"] == "error"
    assert err.startswith("mnist-lstm: error: folder: contains no picture")


def test_dash_reads_one_picture_from_standard_input(
    command: Command, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = [sys.executable, "-c", MAIN, "classify", "-", "--format", "json"]
    done = subprocess.run(program, input=Path("7.png").read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [(row["file"], row["digit"]) for row in rows(done.stdout.decode())] == [("-", 7)]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no picture")))
    code, out, err = command("classify", "-", "7.png", "--format", "json")
    assert code == 2
    assert "mnist-lstm: error: -: is not a picture" in err
    assert [(row["file"], row["digit"]) for row in rows(out)] == [("-", None), ("7.png", 7)]


def test_named_pipe_is_read_once(command: Command, pictures: list[str]) -> None:
    os.mkfifo("pipe")
    data = Path("7.png").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data))
    writer.start()
    code, out, err = command("classify", "pipe", "--format", "json")
    writer.join()
    assert (code, err) == (0, "")
    assert rows(out)[0]["digit"] == 7


@pytest.fixture
def arrays() -> tuple[list[str], list[int]]:
    """Write the same 12 digits to every kind of array file; return the names and the labels."""
    images, labels = load_sklearn_digits()[0][:12], load_sklearn_digits()[1][:12].tolist()
    Path("a-idx3-ubyte").write_bytes(to_idx(images))
    write_archive(Path("a-idx3-ubyte.gz"), images)
    np.save("a.npy", images)
    np.save("unit.npy", images / 255)
    np.save("rows.npy", images.reshape(-1, 784))
    np.save("colour.npy", np.stack([images] * 3, axis=-1))
    np.save("fortran.npy", np.asfortranarray(images))
    return [
        "a-idx3-ubyte",
        "a-idx3-ubyte.gz",
        "a.npy",
        "unit.npy",
        "rows.npy",
        "colour.npy",
        "fortran.npy",
    ], labels


def test_every_image_of_an_array_file_is_classified(command: Command, arrays: tuple[list[str], list[int]]) -> None:
    names, labels = arrays
    code, out, err = command("classify", "--format", "json", *names)
    assert (code, err) == (0, "")
    answers = rows(out)
    assert [(row["file"], row["index"]) for row in answers] == [(name, i) for name in names for i in range(12)]
    digits = [row["digit"] for row in answers]
    for start in range(0, len(digits), 12):
        assert digits[start : start + 12] == digits[:12]
    assert sum(a == b for a, b in zip(digits, labels, strict=False)) >= 11
    code, out, _ = command("classify", "--format", "json", "--limit", "2", names[1], names[2])
    assert [(row["file"], row["index"]) for row in rows(out)] == [(n, i) for n in names[1:3] for i in (0, 1)]


def test_npy_file_may_contain_a_single_picture(command: Command) -> None:
    np.save("one.npy", draw(7))
    np.save("colour.npy", np.dstack([draw(7)] * 3))
    digit = load_sklearn_digits()[0][0]
    np.save("flat.npy", digit.reshape(784))
    np.save("row.npy", digit.reshape(1, 784) / 255)
    code, out, _ = command("classify", "one.npy", "colour.npy", "flat.npy", "row.npy", "--format", "json")
    assert code == 0
    assert [(row["index"], row["digit"]) for row in rows(out)] == [(0, 7), (0, 7), (0, 0), (0, 0)]


class Evil:
    def __reduce__(self):
        return (Path("it ran").touch, ())


def npy(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(2000)


BAD_ARRAYS = {
    "objects.npy": (None, "is not a NumPy array"),
    "terabytes.npy": (
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 28000, 28000), }"),
        "is not a NumPy array",
    ),
    "header.npy": (npy("__import__('pathlib').Path('it ran').touch()"), "is not a NumPy array"),
    "labels.npy": (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (100,), }"), "has shape 100;"),
    "complex.npy": (
        npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,5,5), }"),
        "has dtype complex64",
    ),
    "empty.npy": (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (0,5,5), }"), "has shape 0x5x5"),
    "terabytes-idx3": (b"\0\0\x08\3" + b"\xff\xff\0\0" * 3, "more than the file holds"),
    "terabytes.gz": (gzip.compress(b"\0\0\x08\3" + b"\xff\xff\0\0" * 3), "more than the file holds"),
    "bomb.gz": (gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 10**5, 28, 28) + bytes(784 * 10**5)), "-fold when"),
    "large-idx3": (to_idx(np.zeros((1, 8001, 8000), dtype=np.uint8)), "images of 8001x8000 pixels, more than"),
    "large.npy": (None, "has 8000x8001 pixels, more than"),
    "labels-idx1": (to_idx(np.zeros(5, dtype=np.uint8)), "has shape 5; expected images"),
    "short.gz": (gzip.compress(to_idx(np.ones((9, 28, 28), dtype=np.uint8)))[:-20], "cut short"),
    "other.gz": (gzip.compress(b"something else"), "wrong magic number"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_array_file_is_an_error(command: Command, pictures: list[str], name: str) -> None:
    data, message = BAD_ARRAYS[name]
    if name == "large.npy":
        np.save(name, np.zeros((2, 8001, 8000), dtype=bool))
    elif data is None:
        np.save(name, np.array([Evil()], dtype=object), allow_pickle=True)
    else:
        Path(name).write_bytes(data)
    code, out, err = command("classify", name, "7.png", "--format", "json")
    assert code == 2
    first, *_, last = rows(out)
    assert (first["file"], first["status"], first["digit"]) == (name, "error", None)
    assert message in first["message"]
    assert f"mnist-lstm: error: {name}: {first['message']}\n" == err
    assert (last["file"], last["digit"]) == ("7.png", 7)
    assert not Path("it ran").exists()


def test_images_before_a_truncation_are_classified(command: Command) -> None:
    images = load_sklearn_digits()[0][:1500]
    write_archive(Path("short.gz"), images)
    Path("short.gz").write_bytes(Path("short.gz").read_bytes()[:-1000])
    code, out, err = command("classify", "short.gz", "--format", "json")
    assert code == 2
    answers = rows(out)
    assert len(answers) > 1000
    assert [row["index"] for row in answers] == list(range(len(answers)))
    assert [row["status"] == "error" for row in answers] == [False] * (len(answers) - 1) + [True]
    assert f"short.gz[{len(answers) - 1}]: the gzip archive is cut short" in err


def test_bad_pictures_do_not_stop_the_others(command: Command, pictures: list[str]) -> None:
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    names = ["missing.png", *pictures[:2], "bad.png", *pictures[2:]]
    code, out, err = command("classify", "--format", "json", *names)
    assert code == 2
    assert [row["file"] for row in rows(out)] == names
    assert [row["status"] for row in rows(out)] == ["error", "ok", "ok", "error", "ok", "ok", "ok"]
    assert rows(out)[0]["probabilities"] is None
    first, second = err.splitlines()
    assert first == "mnist-lstm: error: missing.png: cannot be read (No such file or directory)"
    assert second.startswith("mnist-lstm: error: bad.png: is ")
    assert "Traceback" not in err
    for kind in ("table", "csv"):
        code, out, _ = command("classify", "--format", kind, *names)
        assert code == 2
        assert len(out.splitlines()) == 1 + len(names)


def test_file_names_cannot_control_the_terminal(command: Command) -> None:
    name = "\x1b[31mred\n.png"
    Image.fromarray(draw(7)).save(name)
    Path("bad\x1b]0;title\x07.png").write_bytes(b"")
    for kind in ("table", "csv", "json"):
        code, out, err = command("classify", name, "bad\x1b]0;title\x07.png", "--format", kind)
        assert code == 2
        assert "\x1b" not in out + err
        assert "\x07" not in out + err
        assert len(out.splitlines()) == (2 if kind == "json" else 3)
    assert rows(out)[0]["file"] == name


def test_file_name_outside_the_terminals_encoding_is_escaped(
    command: Command, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("7.png").rename("sieben\u2603.png")
    written = io.BytesIO()
    terminal = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        code, _, err = command("classify", "sieben\u2603.png")
    assert (code, err) == (0, "")
    assert b"sieben\\u2603.png" in written.getvalue()


def test_digit_below_the_threshold_is_unsure(command: Command, pictures: list[str]) -> None:
    code, out, _ = command("classify", "7.png", "--threshold", "1", "--format", "json")
    assert code == 0
    (row,) = rows(out)
    assert (row["digit"], row["status"]) == (7, "unsure")
    assert "probability is below 1" in row["message"]
    _, out, _ = command("classify", "7.png", "--threshold", "1")
    assert out.splitlines()[1].endswith("unsure")
    _, out, _ = command("classify", "7.png", "--threshold", "0", "--format", "json")
    assert rows(out)[0]["status"] == "ok"


def test_empty_and_several_are_statuses_and_split_reads_several(command: Command) -> None:
    Image.new("L", (50, 50), 255).save("empty.png")
    Image.fromarray(np.hstack([draw(1), draw(2)])).save("twelve.png")
    code, out, err = command("classify", "empty.png", "twelve.png", "--format", "json")
    assert (code, err) == (0, "")
    assert [(row["status"], row["digit"]) for row in rows(out)] == [("empty", None), ("several", None)]
    assert "2 digits" in rows(out)[1]["message"]
    code, out, _ = command("classify", "empty.png", "twelve.png", "--format", "json", "--split")
    assert [(row["status"], row["digit"]) for row in rows(out)] == [("empty", None), ("ok", "12")]
    assert [len(shares) for shares in rows(out)[1]["probabilities"]] == [10, 10]
    for kind, lines in (("table", 3), ("csv", 3)):
        for split in ([], ["--split"]):
            code, out, _ = command("classify", "empty.png", "twelve.png", "--format", kind, *split)
            assert code == 0
            assert len(out.splitlines()) == lines
            assert (" 12 " in out or ",12," in out) == bool(split)


def test_show_saves_the_networks_input_and_never_overwrites(command: Command, pictures: list[str]) -> None:
    Image.new("L", (50, 50), 255).save("empty.png")
    Path("bad.png").write_bytes(b"")
    Path("a").mkdir()
    Image.fromarray(draw(7)).save("a/7.png")
    np.save("two.npy", np.stack([draw(1), draw(2)]))
    code, _, _ = command("classify", *pictures, "empty.png", "bad.png", "a", "two.npy", "--show", "seen/here")
    assert code == 2, "bad.png"
    names = sorted(path.name for path in Path("seen/here").iterdir())
    assert names == [
        *(f"{number:05d}-{digit}.png" for number, digit in enumerate(DIGITS)),
        "00005-empty.png",
        "00007-7.png",
        "00008-two.png",
        "00009-two.png",
    ]
    seen = load_classifier()("7.png").seen[0]
    with Image.open(f"seen/here/00004-{DIGITS[-1]}.png") as view:
        panel = np.asarray(view.convert("L").crop((300, 10, 580, 290)).resize((28, 28), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(panel, seen)
    before = {path: path.read_bytes() for path in Path("seen/here").iterdir()}
    code, _, err = command("classify", "7.png", "--show", "seen/here")
    assert code == 2
    assert "--show seen/here: " in err
    assert {path: path.read_bytes() for path in Path("seen/here").iterdir()} == before


def test_show_draws_every_picture_mode(command: Command) -> None:
    Image.fromarray(draw(7).astype(np.uint16) * 257).save("deep.png")
    Image.fromarray(draw(7)).convert("RGBA").save("clear.png")
    Image.fromarray(np.hstack([draw(1), draw(2)])).save("twelve.png")
    Image.new("L", (1, 2000), 255).save("narrow.png")
    code, _, err = command("classify", "deep.png", "clear.png", "twelve.png", "narrow.png", "--split", "--show", "seen")
    assert (code, err) == (0, "")
    sizes = []
    for path in sorted(Path("seen").iterdir()):
        with Image.open(path) as view:
            sizes.append(view.size)
    # three stages below what was found: sheet, ink, writing
    assert sizes == [(880, 630)] * 3 + [(300, 320)]


def test_classify_reads_a_checkpoint_of_fit(command: Command, fit: Command, pictures: list[str]) -> None:
    code, _, err = fit("--trainer.max_epochs=1", "--trainer.log_every_n_steps=2")
    assert code == 0, err
    path = "runs/mnist/version_0/checkpoints/best.ckpt"
    answers = []
    for ckpt_path in (path, "best"):
        code, out, err = command("classify", "7.png", "--ckpt_path", ckpt_path, "--format", "json")
        assert (code, err) == (0, "")
        answers.append(rows(out)[0]["probabilities"])
    assert answers[0] == answers[1]
    expected = load_classifier(path)("7.png").probabilities
    assert answers[0] == pytest.approx(expected)
    assert answers[0] != pytest.approx(load_classifier()("7.png").probabilities)


BAD_OPTIONS = {
    "no picture": ([], "the following arguments are required: PICTURE"),
    "unknown option": (["7.png", "--nonsense"], "unrecognized arguments: --nonsense"),
    "abbreviated": (["7.png", "--thresh", "1"], "unrecognized arguments: --thresh"),
    "threshold": (["7.png", "--threshold", "1.5"], "threshold 1.5: must be"),
    "threshold nan": (["7.png", "--threshold", "nan"], "threshold nan: must be"),
    "limit": (["7.png", "--limit", "0"], "--limit: 0: must be"),
    "limit text": (["7.png", "--limit", "x"], "--limit: x: must be"),
    "threshold text": (["7.png", "--threshold", "x"], "--threshold: invalid float value: 'x'"),
    "empty checkpoint": (["7.png", "--ckpt_path", ""], "--ckpt_path : "),
    "format": (["7.png", "--format", "xml"], "--format: invalid choice: 'xml'"),
    "checkpoint": (["7.png", "--ckpt_path", "no.ckpt"], "--ckpt_path no.ckpt: "),
    "no run": (["7.png", "--ckpt_path", "last"], "--ckpt_path last: "),
    "show a file": (["7.png", "--show", "7.png"], "--show 7.png: "),
    "show nowhere": (["7.png", "--show", "/proc/no/such"], "--show /proc/no/such: "),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_option_is_named(command: Command, pictures: list[str], name: str) -> None:
    args, message = BAD_OPTIONS[name]
    code, out, err = command("classify", *args)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert Path("7.png").exists()


def test_help_lists_every_option(command: Command) -> None:
    code, out, _ = command("classify", "--help")
    assert code == 0
    for option in (
        "--ckpt_path",
        "--format",
        "--limit",
        "--threshold",
        "--split",
        "--show",
        "--recursive",
        "64 megapixels",
        "HEIC",
        "pip install 'mnist-lstm[photos]'",
        "exit code",
    ):
        assert option in out


def test_many_pictures_keep_their_order_and_use_all_threads(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_sklearn_digits()[0]
    np.save("many.npy", np.concatenate([images[:800], images[:203]]))
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(batches, "MAX_WAIT_S", 60)  # full batches, on a slow machine as well
    code, out, _ = command("classify", "many.npy", "--format", "csv")
    assert code == 0
    table = list(csv.DictReader(io.StringIO(out)))
    assert [int(row["index"]) for row in table] == list(range(1003))
    assert [row["digit"] for row in table[800:]] == [row["digit"] for row in table[:203]]
    assert used == [1, *[7] * 5, 7], "one thread at first, all for each of 5 batches, then as before"
    used.clear()
    command("classify", "many.npy", "--limit", "20")
    assert used == [1, 7]


def test_answers_appear_while_pictures_are_read() -> None:
    Image.fromarray(draw(7)).resize((1280, 1600)).save("00.bmp")
    for number in range(1, 60):
        os.link("00.bmp", f"{number:02d}.bmp")
    program = [sys.executable, "-c", MAIN, "classify", ".", "--format", "json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        # as `head -1` does; the command must end without complaint
        running.stdout.close()
        assert running.wait(60) == 0
    assert first["file"] == "./00.bmp"


def test_script_runs_the_command(pictures: list[str]) -> None:
    program = [sys.executable, str(REPOSITORY / "scripts/classify.py"), "7.png", "--format", "json"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout)[0]["digit"] == 7


def test_training_libraries_are_not_imported(pictures: list[str]) -> None:
    code = (
        "import sys; from mnist_lstm.cli import main; code = main(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    program = [sys.executable, "-c", code, "classify", "7.png", "--show", "seen"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    modules = set(done.stderr.split())
    assert "torch" in modules
    heavy = {"lightning", "torchvision", "torchmetrics", "tensorboard", "sklearn", "matplotlib", "rich", "pandas"}
    assert not heavy & modules


def test_classify_writes_no_files_by_default(command: Command, pictures: list[str]) -> None:
    before = sorted(Path().rglob("*"))
    command("classify", *pictures)
    assert sorted(Path().rglob("*")) == before


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs the folder of photographed digits")
def test_photographs_are_read(command: Command) -> None:
    code, out, _ = command("classify", PHOTOS, "--format", "json")
    assert code == 0
    answers = rows(out)
    right = sum(row["digit"] == int(Path(row["file"]).name[0]) for row in answers)
    print(f"{right} of {len(answers)} photographs")
    assert len(answers) == 200
    assert right >= 196


@pytest.fixture(scope="session")
def mnist_test(real_mnist: Path) -> tuple[np.ndarray, np.ndarray]:
    return mnist_files.load(real_mnist, mnist_files.TEST)


@needs_mnist
def test_first_ten_test_images(command: Command) -> None:
    archive = Path(str(REAL_ARCHIVES)) / "t10k-images-idx3-ubyte.gz"
    code, out, _ = command("classify", archive, "--limit", "10", "--format", "json")
    assert code == 0
    assert [row["digit"] for row in rows(out)] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@needs_mnist
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_classify_on_png_files_agrees_with_predict(
    command: Command, mnist_test: tuple[np.ndarray, np.ndarray], real_mnist: Path, count: int
) -> None:
    images, labels = (part[:count] for part in mnist_test)
    Path("pngs").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(f"pngs/{index:05d}.png", compress_level=1)
    Path("images-idx3-ubyte").write_bytes(to_idx(images))
    code, out, _ = command("classify", "pngs", "--format", "csv")
    assert code == 0
    from_files = [row["digit"] for row in csv.DictReader(io.StringIO(out))]
    options = ["--data.predict_images", "images-idx3-ubyte", "--trainer.accelerator", "cpu"]
    code, out, err = command("predict", "--ckpt_path", PRETRAINED, "--data.data_dir", real_mnist, *options)
    assert code == 0, err
    assert from_files == [row["prediction"] for row in csv.DictReader(io.StringIO(out))]
    assert len(from_files) == count
    print(f"{count:,} test images as PNG files: {100 * np.mean(np.array(from_files, dtype=int) == labels):.2f} %")


def _canvas(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    canvas = Image.new("L", (600, 400))
    enlarged = Image.fromarray(image).resize((280, 280), Image.Resampling.BICUBIC)
    canvas.paste(enlarged, (int(rng.integers(0, 321)), int(rng.integers(0, 121))))
    return canvas


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60)
    return Image.open(buffer)


def _gradient(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    ground = np.linspace(0, 120, 28)[:, None]
    return Image.fromarray(np.rint(ground + image * (255 - ground) / 255).astype(np.uint8))


def _gaussian(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray((image + rng.normal(0, 25.5, image.shape)).clip(0, 255).astype(np.uint8))


def _salt(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    hit = rng.random(image.shape) < 0.1
    return Image.fromarray(np.where(hit, rng.choice([0, 255], image.shape), image).astype(np.uint8))


def _cropped(side: int) -> Callable[[np.ndarray, np.random.Generator], Image.Image]:
    """Return a function that crops an image to its ink, black on white, without any margin."""

    def crop(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
        rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
        digit = 255 - image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = (max(3, round(length * side / max(digit.shape))) for length in digit.shape)
        return Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)

    return crop


VARIANTS = {
    "inverted": (lambda image, rng: Image.fromarray(255 - image), 5),
    "on a canvas": (_canvas, 5),
    "JPEG": (_jpeg, 5),
    "gradient": (_gradient, 5),
    "Gaussian noise": (_gaussian, 15),
    "salt and pepper": (_salt, 15),
    **{f"cropped to {side} pixels": (_cropped(side), 15) for side in (28, 60, 150, 400)},
}
"""How an image is changed, and how many more of 1,000 may be misread."""


@needs_mnist
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 100 if name == "on a canvas" else 200) for name in VARIANTS),
        *(pytest.param(name, 1000, marks=pytest.mark.slow) for name in VARIANTS),
    ],
)
def test_altered_test_images_are_read(mnist_test: tuple[np.ndarray, np.ndarray], name: str, count: int) -> None:
    change, tolerance = VARIANTS[name]
    images, labels = (part[:count] for part in mnist_test)
    classifier = load_classifier()
    rng = np.random.default_rng(0)
    unchanged, changed = (
        sum(p.digit == label for p, label in zip(classifier(pictures), labels, strict=True))
        for pictures in (images, [change(image, rng) for image in images])
    )
    print(f"{name}: {changed / count:.1%}, unchanged {unchanged / count:.1%} of {count:,}")
    assert changed >= unchanged - tolerance * count // 1000
