"""scripts/record_page.py: the moving picture of the README."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from mnist_lstm.errors import InputError


@pytest.fixture
def record_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    return importlib.import_module("record_page")


def test_pictures_keep_their_colours_and_times(record_page: ModuleType) -> None:
    colours = [(250, 248, 244), (255, 255, 255), (252, 252, 252), (194, 78, 0)]
    frames = []
    for n, colour in enumerate(colours):
        image = Image.new("RGB", (40, 30), (29, 31, 38))
        image.paste(colour, (5 * n, 5, 5 * n + 5, 20))
        frames.append((image, 100 + 50 * n))
    record_page.save(frames, Path("page.gif"))
    with Image.open("page.gif") as written:
        assert written.n_frames == 4
        assert written.info["loop"] == 0
        for n, (image, duration) in enumerate(frames):
            written.seek(n)
            assert written.info["duration"] == duration
            np.testing.assert_array_equal(np.asarray(written.convert("RGB")), np.asarray(image))


def test_colours_that_find_no_place_take_the_nearest(record_page: ModuleType) -> None:
    levels = np.repeat(np.arange(0, 180), 3).reshape(2, 270)  # 180 greys, three pixels each
    rare = np.arange(100)
    pixels = np.zeros((1, 640, 3), dtype=np.uint8)
    pixels[0, :540] = levels.reshape(-1, 1)
    pixels[0, 540:, 0] = 200
    pixels[0, 540:, 1] = rare  # 100 reds, one pixel each
    record_page.save([(Image.fromarray(pixels), 100)], Path("page.gif"))
    with Image.open("page.gif") as written:
        found = np.asarray(written.convert("RGB")).astype(int)
    np.testing.assert_array_equal(found[0, :540], pixels[0, :540])
    assert np.abs(found[0, 540:] - pixels[0, 540:]).max() <= 24


def test_digit_lies_in_the_middle_of_the_pad(record_page: ModuleType) -> None:
    for digit in range(10):
        points = np.concatenate(record_page.draw_by_hand(digit, 0))
        np.testing.assert_allclose((points.max(axis=0) + points.min(axis=0)) / 2, 0.5, atol=1e-9)
        assert points.min() > 0.05
        assert points.max() < 0.95


def test_nothing_is_overwritten(record_page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    Path("page.gif").touch()
    assert record_page.main(["page.gif"]) == 2
    assert "FILE.gif page.gif: exists already" in capsys.readouterr().err


def test_missing_browser_is_an_error(record_page: ModuleType) -> None:
    with pytest.raises(InputError, match="Chromium was not found"):
        record_page.open_browser(None, "no-such-browser")


@pytest.mark.slow
def test_page_is_recorded(record_page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("playwright.sync_api", reason="needs Playwright, to drive a browser")
    code = record_page.main(["page.gif"])
    err = capsys.readouterr().err
    if "Chromium was not found" in err:
        pytest.skip(err)
    assert code == 0, err
    assert Path("page.gif").stat().st_size <= 1_500_000
    with Image.open("page.gif") as written:
        assert written.n_frames > 50
