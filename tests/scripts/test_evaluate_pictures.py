"""scripts/evaluate_pictures.py counts every picture once, alike on any number of processes, and overwrites nothing."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY, TEST_SIZE, VAL_SIZE
from PIL import Image

from mnist_lstm.inference.classifier import PRETRAINED, Prediction


@pytest.fixture
def evaluate_pictures(monkeypatch: pytest.MonkeyPatch, archives: Path):
    """The script as a module; it finds the tiny MNIST."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    import evaluate_pictures

    return evaluate_pictures


def rows_of(out: str) -> dict[str, tuple[int, list[float]]]:
    """Return the number of pictures and the percentages in each line of the tables; no percentages: no pictures."""
    rows = {}
    for line in out.splitlines():
        found = re.fullmatch(r"(\w+) +(\d+)((?: +(?:[\d.]+ %|-)){4})", line)
        if found:
            rows[found[1]] = int(found[2]), [float(share) for share in re.findall(r"[\d.]+(?= %)", found[3])]
    return rows


@pytest.fixture
def small(evaluate_pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw pictures of half the width and height, which takes a quarter of the time."""
    from scenes import scenes

    def sizes(*args: object) -> tuple[float, tuple[int, int]]:
        height, (rows, columns) = full_sizes(*args)
        return height / 2, (rows // 2, columns // 2)

    full_sizes = scenes._sizes
    monkeypatch.setattr(scenes, "_sizes", sizes)


@pytest.mark.usefixtures("small")
def test_tables_add_up_and_misread_pictures_are_saved(evaluate_pictures, capsys: pytest.CaptureFixture) -> None:
    from scenes.scenes import CONTENTS, KINDS

    Path("mistakes").mkdir()
    assert evaluate_pictures.main(["--count", "14", "--jobs", "1", "--save", "mistakes"]) == 0
    out = capsys.readouterr().out
    rows = rows_of(out)
    assert list(rows) == [*dict.fromkeys(CONTENTS), *KINDS, "all"]
    assert len(out.splitlines()) == len(rows) + 3, "two headings and an empty line"
    assert [rows[kind][0] for kind in KINDS] == [1] * 14
    assert sum(rows[content][0] for content in set(CONTENTS)) == rows["all"][0] == 14
    for number, shares in rows.values():
        assert len(shares) == (4 if number else 0)
        assert not number or sum(shares) == pytest.approx(100, abs=0.2)
    for column in range(4):
        pictures = sum(shares[column] / 100 for name, (_, shares) in rows.items() if name in KINDS)
        assert rows["all"][1][column] == pytest.approx(100 * pictures / 14, abs=0.06)

    saved = sorted(Path("mistakes").iterdir())
    assert len(saved) == round(14 * (1 - rows["all"][1][0] / 100))
    for file in saved:
        number, kind, _, _ = re.fullmatch(
            r"(\d{5})-(\w+)-([\d_]+|empty)-([\d_]+\+?|empty|several)\.png", file.name
        ).groups()
        assert kind == KINDS[int(number)]
        with Image.open(file) as picture:
            assert picture.format == "PNG"


def test_tables_do_not_depend_on_the_number_of_processes(evaluate_pictures, capsys: pytest.CaptureFixture) -> None:
    printed = []
    for jobs in ("1", "2"):
        args = ["--count", "3", "--seed", "9", "--jobs", jobs, "--save", f"mistakes{jobs}"]
        assert evaluate_pictures.main([*args, "--ckpt_path", str(PRETRAINED)]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert rows_of(printed[0])["all"][0] == 3
    one, two = ({file.name: file.read_bytes() for file in Path(f"mistakes{jobs}").iterdir()} for jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("truth", "digit", "status", "verdict"),
    [
        ("7", 7, "ok", "right"),
        ("7", 7, "unsure", "right"),
        ("7", 1, "ok", "wrong and sure"),
        ("7", 1, "unsure", "unsure"),
        ("7", None, "several", "unsure"),
        ("7", None, "empty", "empty"),
        ("07", "07", "ok", "right"),
        ("07", "7", "ok", "wrong and sure"),
        ("12\n34", "12\n34", "unsure", "right"),
        ("12\n34", "1234", "ok", "wrong and sure"),
        ("", None, "empty", "right"),
        ("", 1, "ok", "wrong and sure"),
        ("", "1", "unsure", "wrong and sure"),
        ("", None, "several", "wrong and sure"),
    ],
)
def test_the_whole_text_is_compared(
    evaluate_pictures, truth: str, digit: int | str | None, status: str, verdict: str
) -> None:
    assert evaluate_pictures.judge(truth, Prediction(digit, None, None, status)) == verdict


def test_only_a_single_digit_is_read_without_split(evaluate_pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    from scenes.scenes import Scene

    scene = Scene(0, "plain", "one", Image.new("RGB", (1, 1)), "7")
    asked = []

    def classify(image: Image.Image, *, split: bool) -> Prediction:
        asked.append(split)
        return Prediction(None, None, None, "empty")

    for number, content in enumerate(("one", "line", "touching", "lines", "empty", "empty")):
        drawn = Scene(number, scene.kind, content, scene.image, "" if content == "empty" else "7")
        monkeypatch.setattr(evaluate_pictures, "draw_scene", lambda *_, drawn=drawn: drawn)
        evaluate_pictures.Reader(classify, None, 1, None).read(number)
    assert asked == [False, True, True, True, False, True]


def test_file_names_are_safe_and_short(evaluate_pictures) -> None:
    from scenes.scenes import Scene

    scene = Scene(31, "table", "lines", Image.new("RGB", (1, 1)), "12\n34")
    name = evaluate_pictures.file_name(scene, Prediction("12\n3", 0.4, None, "unsure"))
    assert name == "00031-table-12_34-12_3.png"
    name = evaluate_pictures.file_name(scene, Prediction("1" * 1000, 0.4, None, "unsure"))
    assert name == f"00031-table-12_34-{'1' * 60}+.png"
    empty = Scene(5, "envelope", "empty", scene.image, "")
    assert evaluate_pictures.file_name(empty, Prediction(None, None, None, "several")) == (
        "00005-envelope-empty-several.png"
    )


def test_the_test_images_are_taken_on_request_only(evaluate_pictures) -> None:
    assert len(evaluate_pictures.load_mnist(Path("data"), "val").images) == VAL_SIZE
    assert len(evaluate_pictures.load_mnist(Path("data"), "test").images) == TEST_SIZE
    parser = evaluate_pictures._parser()
    assert parser.parse_args([]).part == "val"
    assert parser.parse_args(["--part", "test"]).part == "test"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ckpt_path", "none.ckpt"], "--ckpt_path none.ckpt: no such file"),
        (["--ckpt_path", "best"], "no run under runs"),
        (["--ckpt_path", "full/bad.ckpt"], "bad.ckpt: .*checkpoint"),
        (["--save", "full"], "--save full: is not empty"),
        (["--data_dir", "full/bad.ckpt"], "bad.ckpt.*MNIST cannot be unpacked"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    evaluate_pictures, args: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    Path("full").mkdir()
    Path("full/bad.ckpt").write_text("no checkpoint")
    assert evaluate_pictures.main([*args, "--count", "1", "--jobs", "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("evaluate_pictures: error: ")
    assert re.search(message, line)
    assert [file.name for file in Path("full").iterdir()] == ["bad.ckpt"]


def test_missing_mnist_is_an_error(
    evaluate_pictures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("MNIST_LSTM_ARCHIVES")
    monkeypatch.setenv("MNIST_LSTM_MIRROR", "http://127.0.0.1:9/")  # nothing answers there
    assert evaluate_pictures.main(["--count", "1"]) == 2
    *_, line = capsys.readouterr().err.splitlines()  # the lines before it name the downloads
    assert line.startswith("evaluate_pictures: error: ")
    assert "MNIST_LSTM_ARCHIVES" in line


@pytest.mark.parametrize(
    "args",
    [["--count", "0"], ["--count", "many"], ["--jobs", "0"], ["--seed", "-1"], ["--part", "train"], ["--unknown"]],
)
def test_bad_options_are_refused(evaluate_pictures, args: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate_pictures.main(args)
    assert args[0] in capsys.readouterr().err


def test_help_shows_an_example(evaluate_pictures, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="0"):
        evaluate_pictures.main(["--help"])
    out = capsys.readouterr().out
    assert "python scripts/evaluate_pictures.py --count" in out
    for option in ("--seed", "--part", "--data_dir", "--ckpt_path", "--jobs", "--save"):
        assert option in out


@pytest.mark.usefixtures("small")
def test_only_pictures_of_one_content_are_read(evaluate_pictures, capsys: pytest.CaptureFixture) -> None:
    from scenes.scenes import draw_scene, find_scenes

    contents = [draw_scene(number, 7, None, evaluate_pictures.UNSEEN_FORMS).content for number in range(14)]
    wanted = [number for number in range(14) if contents[number] == "line"]
    assert find_scenes(14, 7, "line") == wanted != []
    args = ["--count", "14", "--seed", "7", "--jobs", "1", "--content", "line"]
    assert evaluate_pictures.main(args) == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows["line"][0] == rows["all"][0] == len(wanted)
    assert rows["one"] == (0, [])
