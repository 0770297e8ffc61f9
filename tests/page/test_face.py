"""The page in a real browser: Chromium, driven by Playwright, where both are installed."""

import base64
import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import REPOSITORY
from drawing import STROKES
from PIL import Image

from mnist_lstm.cli import main
from mnist_lstm.errors import InputError
from mnist_lstm.inference.classifier import load_classifier

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, to drive a browser")
expect = playwright.expect

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


LETTER = [[(0, 0), (0.3, 1.5), (0.5, 0.5), (0.7, 1.5), (1, 0)]]  # W

WATCH = """
const post = Worker.prototype.postMessage;
const moved = new Map(); // when the pen moved last before each drawing was sent, by its number
let now = 0;
window.delays = []; // milliseconds from there to the answer
window.worker = []; // milliseconds that it took there
window.tasks = []; // of the main thread, those of 50 ms and more
window.toText = (bytes) => btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
addEventListener("pointermove", () => (now = performance.now()), true);
new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration)))
  .observe({ entryTypes: ["longtask"] });
Worker.prototype.postMessage = function (message, ...rest) {
  if (message.type === "load") {
    this.addEventListener("message", ({ data }) => {
      if (data.type !== "answer") return;
      window.answer = data;
      if (!moved.has(data.id)) return;
      delays.push(performance.now() - moved.get(data.id));
      worker.push(data.milliseconds);
    });
  }
  if (message.type === "read") window.asked = message.id;
  if (message.drawing) {
    window.ink = message.drawing.ink;
    moved.set(message.id, now);
  }
  return post.call(this, message, ...rest);
};
"""
"""Keeps what the page and its worker say to each other."""


class Hand(NamedTuple):
    slant: float
    width: float
    size: float  # of the box's width, as a share of the pad's
    across: float = 0.5  # place of its middle, as a share of the pad's side


HANDS = (Hand(0, 1, 0.45), Hand(0.25, 0.9, 0.5), Hand(-0.1, 1.2, 0.3))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    assert main(["page", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as monkeypatch, playwright.sync_playwright() as driver:
        monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
        try:
            browser = importlib.import_module("record_page").open_browser(driver)
        except InputError as error:
            pytest.skip(str(error))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, file: Path, width: int, motion: str = "reduce") -> Iterator[Any]:
    """Open the page, and wait for its first reading; it must not complain, nor ask for anything."""
    page = browser.new_page(viewport={"width": width, "height": 800}, reduced_motion=motion)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "blob:", "data:")) or problems.append(asked.url))
    page.add_init_script(WATCH)
    page.goto(file.as_uri())
    expect(page.locator("#announce")).to_have_text(re.compile("It settles on"))
    yield page
    assert problems == []
    page.close()


@pytest.fixture(params=[1280, 360])
def page(request: pytest.FixtureRequest, browser: Any, file: Path) -> Iterator[Any]:
    with opened(browser, file, request.param) as page:
        yield page


def draw(page: Any, what: int | list[list[tuple[float, float]]], hand: Hand = HANDS[0]) -> None:
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in DRAWN[what] if isinstance(what, int) else what:
        for n, (x, y) in enumerate(stroke):
            across = hand.across + hand.size * (hand.width * (x - 0.5) - hand.slant * (y - 0.75))
            down = 0.5 + hand.size * (y - 0.75)
            page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
            if n == 0:
                page.mouse.down()
        page.mouse.up()


def clear(page: Any, digit: int) -> None:
    """Clear the pad, and let an example of another digit be read."""
    page.locator(".thumb").nth((digit + 1) % 10).evaluate("button => button.click()")


def test_digits_that_are_drawn_are_read_as_pictures_of_the_canvas_are(page: Any, tmp_path: Path) -> None:
    classify = load_classifier()
    for digit in range(10):
        for hand in HANDS:
            clear(page, digit)
            draw(page, digit, hand)
            while page.evaluate("answer.id !== asked"):  # it may have been right before the digit was finished
                page.wait_for_timeout(10)
            expect(page.locator("#digit"), f"{digit} by {hand}").to_have_text(str(digit))
            ink, answer = page.evaluate("[toText(ink), [...answer.probabilities]]")
            pixels = np.frombuffer(base64.b64decode(ink), np.uint8)
            side = round(pixels.size**0.5)
            Image.fromarray(255 - pixels.reshape(side, side)).save(tmp_path / "canvas.png")
            prediction = classify(tmp_path / "canvas.png")
            assert prediction.digit == digit
            np.testing.assert_allclose(answer, prediction.probabilities, rtol=0, atol=0.05)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_no_single_digit_gets_no_answer(page: Any) -> None:
    draw(page, LETTER)
    expect(page.locator("#sentence")).to_have_text("It cannot tell what this is. Is it a digit?")
    expect(page.locator("#story")).to_have_text(re.compile("^It does not settle"))
    clear(page, 4)
    for digit, across in ((2, 0.28), (7, 0.72)):
        draw(page, digit, Hand(0, 1, 0.3, across))
    expect(page.locator("#sentence")).to_have_text(re.compile("^This looks like more than one digit"))
    expect(page.locator("#digit")).to_have_text("?")
    page.keyboard.press("Control+z")
    expect(page.locator("#digit")).to_have_text("2")
    clear(page, 4)
    expect(page.locator("#digit")).to_have_text("5")


def test_accessibility_checker_finds_nothing(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for act in (lambda: None, lambda: draw(page, 3)):
            act()
            page.wait_for_timeout(1000)
            faults = axe.run(page).response["violations"]
            assert [(fault["id"], fault["impact"], fault["nodes"][0]["html"]) for fault in faults] == []


def test_reading_plays_when_it_is_seen_and_stops_when_asked(browser: Any, file: Path) -> None:
    with opened(browser, file, 1280, "no-preference") as page:
        assert page.locator("#play").text_content() == "Play"  # out of sight
        page.locator("#sheet").scroll_into_view_if_needed()
        expect(page.locator("#row")).to_have_text(re.compile("^([4-9]|1[0-4])$"))
        page.locator("#play").click()
        row = page.locator("#row").text_content()
        page.wait_for_timeout(400)
        assert page.locator("#row").text_content() == row
        page.locator("#play").click()
        expect(page.locator("#row")).to_have_text("28", timeout=10_000)
        assert page.locator("#play").text_content() == "Play"


def test_line_that_was_moved_is_not_taken_away(browser: Any, file: Path) -> None:
    with opened(browser, file, 1280, "no-preference") as page:
        draw(page, 7)
        page.locator("#sheet").press("Home")
        page.locator("#sheet").press("ArrowDown")
        expect(page.locator("#announce")).to_have_text(re.compile("It settles on 7"))
        page.wait_for_timeout(400)
        assert page.locator("#row").text_content() == "2"


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


@pytest.mark.slow
def test_answer_follows_the_pen(browser: Any, file: Path) -> None:
    with opened(browser, file, 1280) as page:
        box = page.locator("#pad").bounding_box()
        page.evaluate("tasks.length = delays.length = worker.length = 0")
        for turn in range(5):
            for n in range(61):
                angle = 2 * np.pi * n / 60
                across, down = 0.5 + 0.2 * np.sin(angle + turn), 0.5 - 0.35 * np.cos(angle + turn)
                page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
                if n == 0:
                    page.mouse.down()
                page.wait_for_timeout(14)
            page.mouse.up()
            page.wait_for_timeout(1500)  # gates and predictions after each row are drawn
            page.locator("#clear").click()
        delays, tasks, worker = page.evaluate("[delays, tasks, worker]")
        print(f"in the worker: median {median(worker):.0f} ms;", end=" ")
        print(f"from pen to answer: median {median(delays):.0f} ms, 95 % {np.quantile(delays, 0.95):.0f} ms;", end=" ")
        print(f"{len(delays)} answers; tasks of 50 ms and more: {tasks}")
        assert len(delays) > 50
        assert median(delays) <= 50
        assert tasks == []
