"""scripts/compare_ink.py knows what is written, lets each way find it in the same picture, and counts what is read."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY

from mnist_lstm.data.forms import UNSEEN_FORMS
from mnist_lstm.inference import picture
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.inference.picture.morphology import dilate


@pytest.fixture
def compare_ink(monkeypatch: pytest.MonkeyPatch, archives: Path):
    """The script as a module; it finds the tiny MNIST, and draws pictures of half the width and height."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    import compare_ink
    from scenes import scenes

    def sizes(*args: object) -> tuple[float, tuple[int, int]]:
        height, (rows, columns) = full_sizes(*args)
        return height / 2, (rows // 2, columns // 2)

    full_sizes = scenes._sizes
    monkeypatch.setattr(scenes, "_sizes", sizes)
    return compare_ink


def ways_at_hand(compare_ink) -> dict:
    """Return the ways, without those of scikit-image if it is missing."""
    has_skimage = compare_ink.importlib.util.find_spec("skimage") is not None
    return {n: way for n, way in compare_ink.WAYS.items() if has_skimage or n not in ("Sauvola", "Niblack")}


def photograph(sheet: np.ndarray) -> np.ndarray:
    """Return a sheet with the soft edges and the grain of a photo."""
    grain = np.random.default_rng(0).normal(0, 0.01, sheet.shape)
    return (cv2.GaussianBlur(sheet, (0, 0), 1.5) + grain).astype(np.float32)


def stroke() -> tuple[np.ndarray, np.ndarray]:
    """Return a dark stroke on a sheet, and its mask."""
    mask = np.zeros((160, 200), dtype=bool)
    mask[40:120, 96:106] = True
    return np.where(mask, 0.1, 0.8), mask


def test_every_way_finds_dark_and_light_strokes(compare_ink) -> None:
    sheet, mask = stroke()
    grey = photograph(sheet)
    for name, way in ways_at_hand(compare_ink).items():
        for light in (False, True):
            found = way(compare_ink.View(1 - grey if light else grey, light, 0.4))
            assert found.dtype == bool, name
            assert found.shape == mask.shape, name
            assert found[mask].mean() > 0.75, name
            if name not in ("closing, the weak one alone", "Niblack", "MSER"):  # these may take grain for ink
                assert found[~mask].mean() < 0.05, name


def test_a_picture_without_contrast_has_no_ink_of_ours(compare_ink) -> None:
    view = compare_ink.View(np.full((60, 80), 0.7, np.float32), False, 0.4)
    assert not compare_ink.closing(view).any()
    assert not compare_ink.median(view, 1, 1).any()


def test_two_thresholds_keep_weak_ink_beside_strong_ink_only(compare_ink) -> None:
    sheet, mask = stroke()
    sheet[120:150, 98:104] = 0.5  # the end of the stroke is faint
    sheet[60:80, 20:26] = 0.5
    view = compare_ink.View(photograph(sheet), False, 0.4)
    both, weak, strong = (compare_ink.closing(view, which) for which in ("both", "weak", "strong"))
    assert both[126:146, 100:102].all()
    assert not both[62:78, 22:24].any()
    assert weak[62:78, 22:24].all()
    assert not strong[126:146, 100:102].any()
    assert strong[mask].mean() > 0.75


def test_wolf_is_the_published_formula(compare_ink) -> None:
    dark = np.random.default_rng(0).uniform(0.1, 0.9, (31, 41)).astype(np.float32)
    found = compare_ink.wolf(compare_ink.View(dark, False, 0.4), window=0.5, k=0.5)  # a window of 9 x 9
    padded = np.pad(dark.astype(np.float64), 4, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 9))
    mean, deviation = windows.mean(axis=(2, 3)), windows.std(axis=(2, 3))
    threshold = 0.5 * mean + 0.5 * dark.min() + 0.5 * deviation / deviation.max() * (mean - dark.min())
    is_clear = np.abs(dark - threshold) > 1e-4
    assert 0 < found.sum() < found.size
    np.testing.assert_array_equal(found[is_clear], (dark < threshold)[is_clear])


def test_examples_are_the_pictures_of_the_series_with_what_is_written(compare_ink) -> None:
    from scenes import scenes

    mnist = compare_ink.load_mnist(Path("data"), "val")
    examples = [example for _, example in zip(range(9), compare_ink.draw_examples(5, 1, mnist), strict=False)]
    numbers = [example.scene.number for example in examples]
    assert numbers[0] >= 5
    assert numbers == sorted(set(numbers))
    for example in examples:
        assert example.scene.kind in scenes.SHEETS
        assert example.scene.text
        assert example.truth.shape == example.grey.shape
        light = example.scene.kind == "chalkboard"
        around = dilate(example.truth, 9, 9) & ~example.truth
        contrast = example.grey[example.truth].mean() - example.grey[around].mean()
        assert contrast > 0 if light else contrast < 0
        drawn = scenes.draw_scene(example.scene.number, 1, mnist, UNSEEN_FORMS)
        np.testing.assert_array_equal(np.asarray(drawn.image), np.asarray(example.scene.image))


def test_the_truth_is_read_and_scores_one_and_an_empty_mask_is_not_read(compare_ink) -> None:
    classifier, mnist = load_classifier(), compare_ink.load_mnist(Path("data"), "val")
    examples = [example for _, example in zip(range(8), compare_ink.draw_examples(0, 1, mnist), strict=False)]
    right = 0
    for example in examples:
        assert example.f1([example.truth, ~example.truth]) == 1
        assert example.f1([np.zeros_like(example.truth)]) == 0

        def truth(view, example=example) -> np.ndarray:
            is_whole = view.grey.shape == example.grey.shape
            return example.truth if is_whole else np.zeros(view.grey.shape, dtype=bool)

        right += example.is_read(classifier, truth)
        assert not example.is_read(classifier, lambda view: np.zeros(view.grey.shape, dtype=bool))
    assert right >= 3
    assert picture.measure_ink is compare_ink.measure_ink, "what was replaced for a while is back"


def test_masked_ink_stays_masked_when_something_is_removed(compare_ink) -> None:
    sheet, mask = stroke()
    ink = compare_ink.measure_ink(photograph(sheet), False)
    masked = compare_ink.MaskedInk(**{**vars(ink), "weak": np.where(mask, -np.inf, np.inf), "strong": 0})
    removed = np.zeros_like(mask)
    removed[:60] = True
    rest = masked.without(removed)
    np.testing.assert_array_equal(rest.strength > rest.weak, mask & ~removed)
    np.testing.assert_array_equal(rest.removed, removed)


def test_outlines_have_the_boxes_of_the_connected_parts(compare_ink) -> None:
    mask = np.zeros((40, 40), dtype=bool)
    assert compare_ink.compare_outlines(mask)[0], "without any"
    mask[5:30, 5:30] = True
    mask[8:27, 8:27] = False
    mask[12:15, 12:20] = True  # inside of the ring
    mask[15, 20] = True  # touches it at a corner
    same, ratio = compare_ink.compare_outlines(mask)
    assert same
    assert ratio > 0


def test_the_table_has_a_row_per_way(compare_ink, capsys: pytest.CaptureFixture) -> None:
    assert compare_ink.main(["--count", "2"]) == 0
    out = capsys.readouterr().out
    rows = dict(re.findall(r"(?m)^(\S.*?) {2,}(\d\.\d{3} +[\d.]+ % +\d+\.\d\d +\d+\.\d\d)$", out))
    assert list(rows) == list(ways_at_hand(compare_ink))
    for row in rows.values():
        f1, right, finding, reading = map(float, re.findall(r"[\d.]+", row))
        assert 0 <= f1 <= 1
        assert right in (0, 50, 100)
        assert finding > 0
        assert reading > 0
    assert re.findall(r"\S+", rows[compare_ink.OWN])[-2:] == ["1.00", "1.00"]
    assert re.search(r"boxes alike in 2 of 2, time \d+\.\d\d$", out.strip())


def test_scikit_image_is_optional(compare_ink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr(compare_ink, "compare", lambda ways, *_: print(*ways, sep="\n"))
    assert compare_ink.main([]) == 0
    first, *names = capsys.readouterr().out.splitlines()
    assert "pip install scikit-image" in first
    assert names == [name for name in compare_ink.WAYS if name not in ("Sauvola", "Niblack")]


def test_bad_input_is_reported_in_one_line(compare_ink, capsys: pytest.CaptureFixture) -> None:
    assert compare_ink.main(["--ckpt_path", "none.ckpt"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("compare_ink: error: --ckpt_path none.ckpt: no such file")


@pytest.mark.parametrize("args", [["--count", "0"], ["--first", "-1"], ["--seed", "x"]])
def test_bad_options_are_refused(compare_ink, args: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        compare_ink.main(args)
    assert args[0] in capsys.readouterr().err
