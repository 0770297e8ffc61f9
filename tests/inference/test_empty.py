"""Sheets on which nothing is written: what is printed or lies on them, and light, is no digit."""

import cv2
import numpy as np
import pytest

from mnist_lstm.inference import Classifier, load_classifier
from mnist_lstm.inference.picture.parts import Part
from mnist_lstm.inference.picture.rounds import are_ruled
from mnist_lstm.inference.picture.two_tones import find_two_tones
from mnist_lstm.inference.picture.writing import select_writing


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def squared(size: tuple[int, int], every: int, width: int, ink: int, paper: int) -> np.ndarray:
    """Draw squared paper; lines are 3/4 of a square away from the left and upper edge."""
    y, x = np.mgrid[: size[0], : size[1]]
    start = every // 4
    return np.where(((x + start) % every < width) | ((y + start) % every < width), ink, paper).astype(np.uint8)


@pytest.mark.parametrize("left", [348, 360, 366, 380])
@pytest.mark.parametrize(("thickness", "every"), [(6, 126), (3, 42)])
def test_an_empty_box_on_squared_paper_is_no_digit(
    classifier: Classifier, left: int, thickness: int, every: int
) -> None:
    page = squared((512, 911), every, 3, 120, 236)
    cv2.rectangle(page, (left, 267), (left + 129, 444), 110, thickness)
    page = cv2.GaussianBlur(page, (0, 0), 0.7)
    assert classifier(page, split=True).status == "empty"


@pytest.mark.parametrize("blur", [1.0, 3.0])
@pytest.mark.parametrize(("left", "bottom"), [(100, 163), (200, 120), (300, 150)])
def test_a_rounded_object_at_the_edge_is_no_digit(classifier: Classifier, left: int, bottom: int, blur: float) -> None:
    y, x = np.mgrid[:640, :480]
    page = (190 - 40 * np.hypot(x - 240, y - 320) / 400).astype(np.uint8)
    cv2.rectangle(page, (left + 30, -1), (left + 90, bottom), 22, -1)
    cv2.rectangle(page, (left, -1), (left + 120, bottom - 30), 22, -1)
    for corner in (left + 30, left + 90):
        cv2.circle(page, (corner, bottom - 30), 30, 22, -1)
    assert classifier(cv2.GaussianBlur(page, (0, 0), blur)).status == "empty"


@pytest.mark.parametrize("size", [(36, 16), (40, 24)])
def test_a_small_empty_box_is_no_zero(classifier: Classifier, size: tuple[int, int]) -> None:
    page = np.full((640, 480), 218, np.uint8)
    cv2.rectangle(page, (110, 415), (110 + size[1], 415 + size[0]), 120, 1)
    assert classifier(page).status == "empty"


def test_light_between_a_shadow_and_lines_is_no_digit(classifier: Classifier) -> None:
    y, x = np.mgrid[:400, :390]
    shade = cv2.GaussianBlur((x < 0.9 * y + 60 + 25 * np.sin(y / 40)).astype(np.float32), (0, 0), 4)
    page = squared((400, 390), 80, 2, 150, 215) * (1 - 0.3 * shade)
    assert classifier(page.astype(np.uint8)).status == "empty"


def test_a_blot_is_an_empty_sheet_with_a_mark(classifier: Classifier) -> None:
    page = np.full((300, 400), 230, np.uint8)
    cv2.fillPoly(page, [np.array([(120, 60), (210, 60), (205, 140)], np.int32)], 60)
    prediction = classifier(page)
    assert (prediction.status, prediction.digit) == ("empty", None)
    assert prediction.message == "there is nothing written in it, but 1 mark that is no digit"


@pytest.mark.parametrize(("width", "height"), [(7, 7), (8, 9), (11, 12)])
@pytest.mark.parametrize("blur", [0.0, 0.6])
def test_the_buttons_of_a_window_are_no_zeros(classifier: Classifier, width: int, height: int, blur: float) -> None:
    page = np.full((224, 210), 60, np.uint8)
    page[18:206, 18:192] = 255
    page[18:34, 18:192] = 236
    for left in (144, 160, 176):
        cv2.rectangle(page, (left, 21), (left + width - 1, 21 + height - 1), 20, 1)
    page = cv2.GaussianBlur(page, (0, 0), blur) if blur else page
    assert classifier(page, split=True).status == "empty"


def test_bars_along_rows_and_columns_are_ruled() -> None:
    bars = [Part(left, 96, left + 4, 145, 1, 196, 4.0, 0.26, 0.7, 0.85, 0) for left in (244, 342)]
    assert are_ruled(bars)
    assert not are_ruled([*bars, Part(20, 96, 60, 176, 2, 800, 5.0, 0.4, 0.9, 1.0, 0)])


def test_a_speck_in_the_corner_of_a_small_crop_is_no_digit() -> None:
    speck = Part(0, 41, 5, 66, 1, 79, 4.0, 0.23, 0.6, 1.0, 2)
    labels = np.zeros((66, 34), np.int32)
    labels[speck.slices] = 1
    assert select_writing([speck], labels) == []


def test_half_a_sheet_in_the_light_is_no_close_crop() -> None:
    y, x = np.mgrid[:576, :432]
    light = cv2.GaussianBlur((x > 240 + 25 * np.sin(y / 60)).astype(np.float32), (0, 0), 8)
    corner = 0.5 * np.exp(-((x - 432) ** 2 + y**2) / (2 * 50**2))
    assert not list(find_two_tones(((0.45 + 0.3 * light) * (1 - corner)).astype(np.float32)))


def segments(digit: int, height: int, width: int, stroke: int) -> np.ndarray:
    """Draw a 0, 1 or 8 as a display of seven segments does."""
    ink = np.zeros((height, width), bool)
    ink[:, -stroke:] = True
    if digit != 1:
        ink[:stroke] = ink[-stroke:] = ink[:, :stroke] = True
    if digit == 8:
        ink[(height - stroke) // 2 : (height + stroke) // 2] = True
    return ink


@pytest.mark.parametrize("size", [(12, 8, 2), (15, 10, 2), (28, 15, 3)])
def test_a_small_digit_of_segments_is_no_frame(classifier: Classifier, size: tuple[int, int, int]) -> None:
    page = np.full((50, 100), 240, np.uint8)
    for number, digit in enumerate((8, 8, 1, 8)):
        left = 10 + number * (size[1] + 5)
        page[10 : 10 + size[0], left : left + size[1]][segments(digit, *size)] = 30
    assert classifier(page, split=True).digit == "8818"
    assert classifier(page[:, : 12 + size[1]]).digit == 8
