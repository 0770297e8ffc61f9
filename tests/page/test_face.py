"""The page in a real browser: Chromium, driven by Playwright, where both are installed."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from drawing import STROKES

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.page.build import build_page

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, to drive a browser")
expect = playwright.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, to open the page")

DRAWN: dict[int, list[list[tuple[float, float]]]] = {
    **STROKES,
    0: [[(0.5, 0), (0.2, 0.15), (0.05, 0.6), (0.1, 1.1), (0.4, 1.5), (0.7, 1.4), (0.95, 0.9), (0.9, 0.4), (0.5, 0)]],
    5: [[(0.85, 0), (0.2, 0), (0.12, 0.65), (0.5, 0.55), (0.85, 0.75), (0.88, 1.15), (0.6, 1.45), (0.1, 1.4)]],
    6: [[(0.7, 0), (0.35, 0.3), (0.1, 0.8), (0.1, 1.2), (0.4, 1.5), (0.8, 1.3), (0.8, 0.95), (0.5, 0.8), (0.12, 1.05)]],
    8: [
        [(0.8, 0.15), (0.5, 0), (0.2, 0.2), (0.3, 0.55), (0.7, 0.85), (0.85, 1.2), (0.5, 1.5), (0.15, 1.2)],
        [(0.15, 1.2), (0.3, 0.85), (0.7, 0.55), (0.82, 0.25), (0.8, 0.15)],
    ],
    9: [[(0.85, 0.25), (0.5, 0), (0.15, 0.25), (0.2, 0.6), (0.55, 0.75), (0.85, 0.5), (0.85, 0.25), (0.7, 1.5)]],
}
"""Strokes of each digit in a box of 1 x 1.5, y downwards."""


class Hand(NamedTuple):
    slant: float
    width: float
    size: float  # of the box's width, as a share of the pad's


HANDS = (Hand(0, 1, 0.45), Hand(0.25, 0.9, 0.5), Hand(-0.1, 1.2, 0.3))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    images, labels = load_sklearn_digits()
    classifier = load_classifier()
    examples = images[[int((labels == digit).argmax()) for digit in range(10)]]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(build_page(classifier.network, {}, examples, classifier.temperature), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 360])
def page(request: pytest.FixtureRequest, browser: Any, file: Path) -> Iterator[Any]:
    """The page, once it has read its first example; it must not complain, nor ask for anything."""
    page = browser.new_page(viewport={"width": request.param, "height": 800}, reduced_motion="reduce")
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "blob:", "data:")) or problems.append(asked.url))
    page.goto(file.as_uri())
    expect(page.locator("#story")).to_have_text(re.compile("^It settles on"))
    yield page
    assert problems == []
    page.close()


def draw(page: Any, digit: int, hand: Hand) -> None:
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in DRAWN[digit]:
        for n, (x, y) in enumerate(stroke):
            across = 0.5 + hand.size * (hand.width * (x - 0.5) - hand.slant * (y - 0.75))
            down = 0.5 + hand.size * (y - 0.75)
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            if n == 0:
                page.mouse.down()
        page.mouse.up()


def test_digits_that_are_drawn_are_read(page: Any) -> None:
    for digit in range(10):
        for hand in HANDS:
            other = page.locator(".thumb").nth((digit + 1) % 10)
            other.evaluate("button => button.click()")  # clears the pad, and shows another digit
            draw(page, digit, hand)
            page.wait_for_timeout(100)  # it may have been right before the digit was finished
            expect(page.locator("#digit"), f"{digit} by {hand}").to_have_text(str(digit))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_move_the_line_and_show_what_was_known_there(page: Any) -> None:
    sheet = page.locator("#sheet")
    story = page.locator("#story").text_content()
    assert page.locator("#row").text_content() == "28"  # nothing moves by itself for who wants no motion
    sheet.press("Home")
    assert page.locator("#row").text_content() == "1"
    assert page.locator("#story").text_content() == ""
    for _ in range(3):
        sheet.press("ArrowDown")
    sheet.press("ArrowUp")
    assert page.locator("#row").text_content() == "3"
    assert "row 3 of 28" in sheet.get_attribute("aria-valuetext")
    assert page.locator("#unit-story").text_content().startswith("At row 3 it keeps")
    sheet.press("End")
    assert page.locator("#story").text_content() == story


def test_digits_are_drawn_by_keyboard(page: Any) -> None:
    pad = page.locator("#pad")
    for key in [" ", *["ArrowDown"] * 20, " "]:
        pad.press(key)
    expect(page.locator("#announce")).to_have_text(re.compile("^It says 1"))
    page.keyboard.press("Control+z")
    expect(page.locator("#digit")).to_have_text("4")


def test_layers_and_units_are_chosen(page: Any) -> None:
    assert page.locator(".map canvas").count() == 6
    page.get_by_role("radio", name="2", exact=True).check()
    page.get_by_role("radio", name="backward").check()
    assert "from the bottom to the top" in page.locator("#place").text_content()
    title = page.locator("#unit-title").text_content()
    page.locator("#unit").press("Home")
    page.locator("#unit").press("ArrowRight")
    assert page.locator("#unit-title").text_content() != title
