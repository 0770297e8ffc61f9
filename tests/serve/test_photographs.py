"""The page of the server in a real browser: it finds digits in photographs, and reads each."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from drawing import draw
from serving import running, to_png

from mnist_lstm.errors import InputError
from mnist_lstm.inference.classifier import load_classifier
from mnist_lstm.page.build import build_page, one_of_each

pytest.importorskip("fastapi", reason="needs the extra serve")

from mnist_lstm.serve.app import make_app

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright, to drive a browser")
expect = playwright.expect
DIGITS = (2, 7, 4)


def make_page(takes_photographs: bool) -> str:
    classifier = load_classifier()
    return build_page(classifier.network, {}, one_of_each(), takes_photographs=takes_photographs)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running(make_app(load_classifier(), {}, make_page(True))) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(params=[1280, 360])
def page(request: pytest.FixtureRequest, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    with playwright.sync_playwright() as driver:
        try:
            browser = importlib.import_module("record_page").open_browser(driver)
        except InputError as error:
            pytest.skip(str(error))
        page = browser.new_page(viewport={"width": request.param, "height": 800}, reduced_motion="reduce")
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request", lambda asked: asked.url.startswith((address, "blob:", "data:")) or problems.append(asked.url)
        )
        page.on("console", lambda said: "415" in said.text or problems.append(said.text))
        page.goto(address)
        yield page
        assert problems == []
        browser.close()


@pytest.fixture
def row(tmp_path: Path) -> Path:
    path = tmp_path / "row.png"
    path.write_bytes(to_png(np.hstack([draw(digit) for digit in DIGITS])))
    return path


def says(page: Any, text: str) -> None:
    expect(page.locator(".photographs [role=status]")).to_contain_text(text, timeout=30_000)


def test_digits_in_a_photograph_are_shown_and_read_one_by_one(page: Any, row: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(row)
    says(page, "It reads 274.")
    expect(page.locator(".box")).to_have_text([str(digit) for digit in DIGITS])
    for n, digit in enumerate(DIGITS):
        page.locator(".found").nth(n).click()
        expect(page.locator("#digit")).to_have_text(str(digit))
    photograph, box = page.locator(".photograph img").bounding_box(), page.locator(".box").nth(1).bounding_box()
    assert 1 / 3 < (box["x"] + box["width"] / 2 - photograph["x"]) / photograph["width"] < 2 / 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    assert axe.run(page).response["violations"] == []


@pytest.mark.parametrize("act", ["paste", "drop"])
def test_photograph_is_pasted_or_dropped(page: Any, row: Path, act: str) -> None:
    page.evaluate(
        """([act, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "row.png", { type: "image/png" }));
          const options = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(act === "paste"
            ? new ClipboardEvent(act, { ...options, clipboardData: data })
            : new DragEvent(act, { ...options, dataTransfer: data }));
        }""",
        [act, list(row.read_bytes())],
    )
    says(page, "It reads 274.")


def test_what_is_no_picture_is_refused_in_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("hello")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "note.png")
    says(page, "not a picture in a supported format")


def test_page_that_is_one_file_has_none_of_this() -> None:
    page = make_page(False)
    for word in ("connect-src", "fetch(", "PhotographView", "v1/classify"):
        assert word not in page
        assert word in make_page(True)
