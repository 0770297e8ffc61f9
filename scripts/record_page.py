"""Record a moving picture of the page: a digit is drawn, then read row by row. It is at the top of the README.

python scripts/record_page.py page.gif
python scripts/record_page.py page.gif --digit 5 --seed 3 --browser /usr/bin/google-chrome

Chromium opens the page that mnist-lstm page writes, and Playwright moves the pen: pip install -e '.[browser]', and
Debian's package chromium, or playwright install chromium.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnist_lstm.cli import main as mnist_lstm
from mnist_lstm.console import printable
from mnist_lstm.data import pens
from mnist_lstm.errors import InputError
from mnist_lstm.files import open_new, refuse_existing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1120, 656
HIGH = 0.68  # height of the digit, as a share of the pad's
STEPS = 30  # pictures of the drawing
ROWS = 28
COLOURS = 256

Frame = tuple[Image.Image, int]
"""A picture, and for how many milliseconds it is shown."""


def main(args: list[str] | None = None) -> int:
    """Run the script; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="FILE.gif", help="file to write")
    parser.add_argument("--digit", type=int, choices=range(10), default=2, help="digit to draw (2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the hand that draws it (0)")
    parser.add_argument("--browser", metavar="FILE", help="Chromium or Chrome (the first that is found)")
    try:
        run(parser.parse_args(args))
    except InputError as error:
        print(f"record_page: error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace) -> None:
    """Record the page and write the picture.

    Raises:
        InputError: Playwright or a browser is missing, or the file exists.
    """
    refuse_existing(options.output, "FILE.gif")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("Playwright is not installed; pip install -e '.[browser]' installs it") from error
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "page.html")
        mnist_lstm(["page", str(file)])
        # without motion: the reading waits for a click
        browser = open_browser(driver, options.browser)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, reduced_motion="reduce")
        page.goto(file.as_uri())
        frames = list(record(page, draw_by_hand(options.digit, options.seed)))
    save(frames, options.output)
    seconds = sum(duration for _, duration in frames) / 1000
    size = options.output.stat().st_size / 1e6
    print(f"wrote  {printable(str(options.output))}  ({len(frames)} pictures, {seconds:.1f} s, {size:.2f} MB)")


def open_browser(driver: "Playwright", path: str | None = None) -> "Browser":
    """Start Chromium or Chrome: that of a path, of the system, or else of Playwright.

    Raises:
        InputError: there is none.
    """
    found = path or next(filter(None, map(shutil.which, BROWSERS)), None) or driver.chromium.executable_path
    if not Path(found).is_file():
        raise InputError("Chromium was not found; install it, with apt-get or with playwright install chromium")
    return driver.chromium.launch(executable_path=found)


def draw_by_hand(digit: int, seed: int) -> list[np.ndarray[Any, Any]]:
    """Return the strokes of a digit, each ``(points, 2)`` of x and y, as shares of the pad's side."""
    rng = np.random.default_rng(seed)
    strokes = pens.strokes(digit, pens.draw_hand(rng), rng)
    middle = (np.concatenate(strokes).max(axis=0) + np.concatenate(strokes).min(axis=0)) / 2
    return [0.5 + HIGH * (stroke - middle) for stroke in strokes]


def record(page: "Page", strokes: list[np.ndarray[Any, Any]]) -> Iterator[Frame]:
    """Draw the strokes, wait for the reading, and play it."""
    page.locator("#story:not(:empty)").wait_for()
    yield take(page), 900
    box = page.locator("#pad").bounding_box()
    assert box is not None
    corner, side = np.array([box["x"], box["y"]]), box["width"]
    every = max(1, round(sum(map(len, strokes)) / STEPS))
    for stroke in strokes:
        for n, (x, y) in enumerate(corner + side * stroke):
            page.mouse.move(x, y)
            if n == 0:
                page.mouse.down()
            if n % every == every - 1:
                yield take(page), 70
        page.mouse.up()
    page.wait_for_timeout(1500)  # until it has been read row by row
    yield take(page), 1700
    page.locator("#first").evaluate("button => button.click()")
    yield from scroll_to(page, "section.reading")
    yield take(page), 700
    for _ in range(ROWS - 1):
        page.locator("#next").evaluate("button => button.click()")
        yield take(page), 240
    yield take(page), 4000


def scroll_to(page: "Page", target: str, steps: int = 9) -> Iterator[Frame]:
    """Scroll to an element, slowly at first and at the end."""
    end = page.locator(target).evaluate("element => element.getBoundingClientRect().top")
    for n in range(1, steps + 1):
        page.evaluate(f"scrollTo(0, {end * (1 - np.cos(np.pi * n / steps)) / 2})")
        yield take(page), 50


def take(page: "Page") -> Image.Image:
    """Take a picture of what is seen of the page."""
    time.sleep(0.15)  # until the drawing has been read
    return Image.open(BytesIO(page.screenshot())).convert("RGB")


def save(frames: list[Frame], path: Path) -> None:
    """Write a GIF whose pictures share the colours that are most frequent in all of them, without dithering."""
    images = np.array([np.asarray(image, dtype=np.int32) for image, _ in frames])
    packed = images[..., 0] << 16 | images[..., 1] << 8 | images[..., 2]
    values, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1)
    palette = colours[counts.argsort()[::-1][:COLOURS]]
    nearest = np.array([((palette - colour) ** 2).sum(axis=1).argmin() for colour in colours], dtype=np.uint8)
    pictures = [Image.fromarray(indices) for indices in nearest[places].reshape(packed.shape)]
    for picture in pictures:
        picture.putpalette(palette.astype(np.uint8).tobytes())
    durations = [duration for _, duration in frames]
    with open_new(path, "FILE.gif", binary=True) as file:
        pictures[0].save(
            file, "gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
        )


if __name__ == "__main__":
    sys.exit(main())
