"""Finding digits in pictures of every kind and bringing them into MNIST's form."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from drawing import STROKES, draw, paper
from PIL import Image, ImageDraw

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.inference import Classifier, load_classifier
from mnist_lstm.inference.picture import Line, Span, find_writing, is_mnist
from mnist_lstm.inference.picture.ink import otsu
from mnist_lstm.inference.picture.sheet import find_sheets
from mnist_lstm.inference.read import from_image


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def multiplied(digit: int, ground: np.ndarray) -> np.ndarray:
    """Draw with ink that absorbs a share of the light on the ground."""
    ink = draw(digit, size=ground.shape, ink=90, paper=255) / 255
    return as_levels(ground * ink)


def as_levels(shares: np.ndarray) -> np.ndarray:
    return np.rint(255 * shares.clip(0, 1)).astype(np.uint8)


def lines(size: tuple[int, int], *, every: int, both: bool, level: float = 0.6, width: int = 1) -> np.ndarray:
    ground = paper(size, shade=0.1)
    for offset in range(width):
        ground[every // 2 + offset :: every] *= level
        if both:
            ground[:, every // 3 + offset :: every] *= level
    return ground


def shadow(size: tuple[int, int]) -> np.ndarray:
    ground = paper(size)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    return ground * np.where(x + 0.4 * y > 0.6 * size[1], 0.55, 1.0)


def speckled(digit: int) -> np.ndarray:
    image = draw(digit)
    for y, x in np.random.default_rng(1).integers(4, 150, (12, 2)):
        image[y : y + 3, x : x + 3] = 40
    return image


def on_a_desk(digit: int) -> np.ndarray:
    scene = np.full((300, 400), 50, dtype=np.uint8)
    scene[40:250, 60:330] = draw(digit, size=(210, 270), height=100, width=7)
    return scene


def salted(image: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.where(rng.random(image.shape) < 0.1, rng.choice([0, 255], image.shape), image).astype(np.uint8)


PICTURES: dict[str, Callable[[int], np.ndarray]] = {
    "dark on light": draw,
    "light on dark": lambda d: draw(d, ink=240, paper=20),
    "inverted": lambda d: 255 - draw(d),
    "thin pen": lambda d: draw(d, width=2),
    "thick marker": lambda d: draw(d, width=20),
    "faint pencil": lambda d: draw(d, ink=195, paper=220),
    "small scrap": lambda d: draw(d, height=17, width=2, size=(25, 22)),
    "pixel drawing, black": lambda d: draw(d, height=17, width=2, size=(28, 28), ink=0, paper=255),
    "pixel drawing, white": lambda d: draw(d, height=17, width=2, size=(28, 28), at=(1, 2), ink=255, paper=0),
    "in a corner": lambda d: draw(d, height=60, width=6, size=(400, 500), at=(10, 12)),
    "in the other corner": lambda d: draw(d, height=60, width=6, size=(400, 500), at=(320, 440)),
    "small and white on a large canvas": lambda d: draw(
        d, height=25, width=3, size=(400, 600), at=(300, 500), ink=255, paper=0
    ),
    "small and black on a large canvas": lambda d: draw(
        d, height=25, width=3, size=(400, 600), at=(30, 50), ink=0, paper=255
    ),
    "close crop": lambda d: draw(d, height=88, width=10, size=(100, 72)),
    "uneven paper": lambda d: multiplied(d, paper((200, 160), shade=0.8)),
    "noisy paper": lambda d: multiplied(d, paper((200, 160), noise=0.04)),
    "shadow": lambda d: multiplied(d, shadow((240, 200))),
    "ruled": lambda d: multiplied(d, lines((240, 200), every=40, both=False)),
    "squared": lambda d: multiplied(d, lines((240, 200), every=25, both=True)),
    "squared, dark lines": lambda d: multiplied(d, lines((240, 200), every=50, both=True, level=0.45)),
    "specks": speckled,
    "sheet on a desk": on_a_desk,
    "salt and pepper": lambda d: salted(draw(d)),
    "phone photo": lambda d: multiplied(d, paper((1000, 1300), shade=0.6, noise=0.02)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_digits_are_read_in_pictures_of_every_kind(classifier: Classifier, name: str) -> None:
    predictions = classifier([PICTURES[name](digit) for digit in STROKES])
    assert [prediction.digit for prediction in predictions] == list(STROKES)
    for prediction in predictions:
        assert is_mnist(prediction.seen).all()


def test_phone_photos_of_4000_by_3000_pixels_are_read(classifier: Classifier) -> None:
    photo = Image.fromarray(multiplied(7, paper((600, 800), shade=0.5))).resize((4000, 3000)).convert("RGB")
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG")
    assert classifier(Image.open(buffer)).digit == 7


def test_mnist_images_reach_the_network_unchanged() -> None:
    images, _ = load_sklearn_digits()
    assert is_mnist(images).all()
    seen = [prediction.seen[0] for prediction in load_classifier()(images[:50])]
    np.testing.assert_array_equal(np.stack(seen), images[:50])


def test_is_mnist_rejects_other_forms() -> None:
    digit = load_sklearn_digits()[0][0]
    moved = np.roll(digit, 4, axis=1)
    small = np.zeros_like(digit)
    small[7:21, 7:21] = digit[::2, ::2]
    assert is_mnist(np.stack([digit, 255 - digit, moved, small, np.zeros_like(digit)])).tolist() == [True] + [False] * 4


@pytest.mark.parametrize("change", ["inverted", "enlarged", "jpeg"])
def test_altered_mnist_image_is_restored(change: str) -> None:
    for digit in load_sklearn_digits()[0][:40]:
        image = Image.fromarray(digit)
        if change == "inverted":
            image = Image.fromarray(255 - digit)
        elif change == "enlarged":
            canvas = Image.new("L", (600, 400))
            canvas.paste(image.resize((280, 280), Image.Resampling.BICUBIC), (290, 10))
            image = canvas
        else:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=60)
            image = Image.open(buffer)
        ((span,),) = (line.spans for line in find_writing(from_image(image)[0].astype(np.float32) / 255).page.lines)
        assert np.corrcoef(span.image.ravel(), digit.ravel())[0, 1] > 0.85


def test_bar_of_a_close_crop_is_not_removed_as_a_ruled_line(classifier: Classifier) -> None:
    seven = np.full((100, 70), 255, dtype=np.uint8)
    seven[:6] = 0
    for y in range(100):
        x = int(62 - 0.45 * y)
        seven[y, x : x + 7] = 0
    assert classifier(seven).digit == 7


@pytest.mark.parametrize("angle", [0, 6, 15])
def test_sheet_lying_askew_on_a_desk_is_cut_out(classifier: Classifier, angle: float) -> None:
    for digit in STROKES:
        sheet = Image.fromarray(draw(digit, size=(260, 200), height=120, width=8)).convert("LA")
        turned = sheet.rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
        desk = Image.new("L", (600, 450), 60)
        desk.paste(turned.getchannel("L"), (150, 60), turned.getchannel("A"))
        assert classifier(desk).digit == digit


def desk_with(sheet: np.ndarray, *, brightness: int = 60, angle: float = 8) -> np.ndarray:
    """Lay a sheet, turned by ``angle`` degrees, on a desk of 450 by 600 pixels."""
    paper = Image.fromarray(sheet).convert("LA").rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)
    desk = Image.new("L", (600, 450), brightness)
    desk.paste(paper.getchannel("L"), (150, 60), paper.getchannel("A"))
    return np.asarray(desk)


@pytest.mark.parametrize("brightness", [60, 150])
def test_sheet_on_a_desk_is_found_in_the_hard_shadow_across_it(classifier: Classifier, brightness: int) -> None:
    y, x = np.mgrid[0:450, 0:600]
    light = np.where(x + 0.5 * y + 15 * np.sin(y / 30) > 420, 0.45, 1.0)
    for digit in STROKES:
        desk = desk_with(draw(digit, size=(260, 200), height=120, width=8), brightness=brightness)
        assert classifier(np.rint(desk * light).astype(np.uint8)).digit == digit


@pytest.mark.parametrize("brightness", [60, 150])
def test_empty_sheet_on_a_desk_is_empty(classifier: Classifier, brightness: int) -> None:
    assert classifier(desk_with(np.full((260, 200), 235, np.uint8), brightness=brightness)).status == "empty"


@pytest.mark.parametrize("side", [200, 280, 400])
def test_straight_sided_hole_of_a_digit_is_no_sheet(classifier: Classifier, side: int) -> None:
    """Its outline has four clear edges, but it is no brighter than what lies around the digit."""
    picture = Image.new("L", (side, side), 255)
    corners = [(0.32, 0.55), (0.68, 0.55), (0.68, 0.85), (0.32, 0.85), (0.32, 0.3), (0.5, 0.12)]
    ImageDraw.Draw(picture).line(
        [(side * x, side * y) for x, y in corners], fill=0, width=round(0.06 * side), joint="curve"
    )
    prediction = classifier(picture)
    assert (prediction.digit, prediction.status) == (6, "ok")


def test_sheet_that_is_cut_off_by_the_edge_of_the_picture_is_found() -> None:
    desk = desk_with(np.full((260, 400), 235, np.uint8))[:, :400]
    (sheet,) = find_sheets(desk.astype(np.float32) / 255)
    assert sheet.is_cut_out
    assert not sheet.is_certain
    assert np.median(sheet.grey) == pytest.approx(235 / 255, abs=0.01)


def test_two_sheets_are_not_read_as_one() -> None:
    desk = np.full((450, 600), 60, dtype=np.uint8)
    desk[50:250, 40:260] = desk[150:400, 330:560] = 235
    sheets = find_sheets(desk.astype(np.float32) / 255)
    assert len(sheets) == 2
    assert not any(sheet.is_certain for sheet in sheets)


def test_form_box_around_a_digit_is_removed(classifier: Classifier) -> None:
    for digit in STROKES:
        form = draw(digit, size=(220, 180))
        form[30:34, 20:160] = form[186:190, 20:160] = form[30:190, 20:24] = form[30:190, 156:160] = 0
        assert classifier(form).digit == digit


@pytest.mark.parametrize("height", [60, 150, 350])
def test_hair_line_is_read(classifier: Classifier, height: int) -> None:
    size = height + 60
    for digit in STROKES:
        assert classifier(draw(digit, height=height, width=1, size=(size, size))).digit == digit


EMPTY = {
    "slanted shadow": np.where(np.add.outer(np.arange(480), 0.6 * np.arange(640)) > 450, 230, 115).astype(np.uint8),
    "squared paper": np.where(np.logical_or.outer(np.arange(480) % 40 == 0, np.arange(640) % 40 == 0), 150, 230).astype(
        np.uint8
    ),
    "white": np.full((50, 60), 255, dtype=np.uint8),
    "black": np.zeros((28, 28), dtype=np.uint8),
    "grey": np.full((300, 200), 130, dtype=np.uint8),
    "one pixel": np.full((1, 1), 130, dtype=np.uint8),
    "one row": np.full((1, 100), 130, dtype=np.uint8),
    "gradient": np.tile(np.linspace(60, 220, 160), (200, 1)).astype(np.uint8),
    **{f"paper {seed}": as_levels(paper((200, 160), seed)) for seed in range(5)},
    **{f"noise {seed}": as_levels(paper((120, 90), seed, noise=0.05)) for seed in range(5)},
}


@pytest.mark.parametrize("name", EMPTY)
def test_picture_without_writing_is_empty(classifier: Classifier, name: str) -> None:
    prediction = classifier(EMPTY[name])
    assert prediction.status == "empty"
    assert (prediction.digit, prediction.probability, prediction.probabilities) == (None, None, None)
    assert prediction.seen.shape == (0, 28, 28)
    assert classifier(EMPTY[name], split=True).status == "empty"


def row_of(digits: list[int], gap: int = 25) -> np.ndarray:
    return np.hstack([draw(digit, size=(160, 60 + gap)) for digit in digits])


@pytest.mark.parametrize("digits", [[1, 2], [4, 7], [2, 4, 1], [7, 7, 2, 3], [1, 1, 1]])
def test_several_digits_are_reported_or_split(classifier: Classifier, digits: list[int]) -> None:
    picture = row_of(digits)
    prediction = classifier(picture)
    assert (prediction.status, prediction.digit) == ("several", None)
    assert f"{len(digits)} digits" in prediction.message
    prediction = classifier(picture, split=True)
    assert prediction.digit == "".join(map(str, digits))
    assert len(prediction.probabilities) == len(prediction.seen) == len(digits)
    expected = np.prod([max(row) for row in prediction.probabilities])
    assert prediction.probability == pytest.approx(expected)
    assert classifier(picture.max() - picture, split=True).digit == prediction.digit


def test_split_returns_a_string_for_a_single_digit(classifier: Classifier) -> None:
    assert classifier(draw(7), split=True).digit == "7"


def page_of(lines: list[list[int]], pitch: int = 110, step: int = 0) -> np.ndarray:
    """Draw lines of digits on a page; each digit is ``step`` pixels lower than the one to its left."""
    page = np.full((pitch * len(lines) + 160, 80 * max(map(len, lines)) + 80), 235, dtype=np.uint8)
    for row, line in enumerate(lines):
        for column, digit in enumerate(line):
            top, left = 30 + pitch * row + step * column, 30 + 80 * column
            page[top : top + 90, left : left + 70] = draw(digit, height=60, width=6, size=(90, 70))
    return page


@pytest.mark.parametrize("step", [0, 6])
def test_a_page_is_read_line_by_line(classifier: Classifier, step: int) -> None:
    lines = [[1, 2, 3, 4], [7, 2], [4, 4, 1, 7, 3]]
    prediction = classifier(page_of(lines, step=step), split=True)
    assert prediction.digit == "1234\n72\n44173"
    assert prediction.status == "ok"
    assert len(prediction.boxes) == len(prediction.seen) == 11


def test_more_than_forty_digits_are_read(classifier: Classifier) -> None:
    lines = [[1, 2, 3, 4, 7, 2, 4, 1, 3]] * 7
    assert classifier(page_of(lines), split=True).digit == "\n".join(["123472413"] * 7)


def test_boxes_tell_where_each_digit_is(classifier: Classifier) -> None:
    picture = np.full((200, 400), 235, dtype=np.uint8)
    picture[20:120, 30:110] = draw(7, height=80, size=(100, 80))
    picture[60:160, 250:330] = draw(2, height=80, size=(100, 80))
    first, second = classifier(picture, split=True).boxes
    assert (first.digit, second.digit) == (7, 2)
    assert first.probability > 0.5
    assert 30 / 400 < first.left < first.right < 110 / 400
    assert 20 / 200 < first.top < first.bottom < 120 / 200
    assert 250 / 400 < second.left < second.right < 330 / 400
    assert 60 / 200 < second.top < second.bottom < 160 / 200


def test_box_on_a_turned_sheet_is_in_the_picture(classifier: Classifier) -> None:
    sheet = Image.fromarray(draw(4, size=(260, 200), height=80, width=8)).convert("LA")
    turned = sheet.rotate(10, expand=True, resample=Image.Resampling.BICUBIC)
    desk = Image.new("L", (600, 450), 60)
    desk.paste(turned.getchannel("L"), (250, 60), turned.getchannel("A"))
    (box,) = classifier(desk).boxes
    middle = 250 + turned.width / 2, 60 + turned.height / 2
    assert 600 * box.left < middle[0] < 600 * box.right
    assert 450 * box.top < middle[1] < 450 * box.bottom
    assert 60 < 450 * (box.bottom - box.top) < 130


@pytest.mark.parametrize("height", [28, 60, 100, 200, 400])
def test_crop_without_a_margin_is_read(classifier: Classifier, height: int) -> None:
    for digit in STROKES:
        picture = draw(digit, height=height, width=height / 9, size=(height + 40, height + 40))
        rows, columns = np.flatnonzero((picture < 200).any(axis=1)), np.flatnonzero((picture < 200).any(axis=0))
        crop = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if digit != 1:  # a bar that fills its picture may be paper as well
            assert classifier(crop).digit == digit


def test_best_path_weighs_shape_and_probability() -> None:
    image = np.zeros((28, 28), dtype=np.uint8)
    box = (0.0, 0.0, 1.0, 1.0)
    whole, left, right = Span(0, 2, box, image, 0.7), Span(0, 1, box, image, 0.2), Span(1, 2, box, image, 0.2)
    line = Line(2, [left, whole, right])
    sure, torn = (0.9 - 0.1) / 0.9, (0.5 - 0.1) / 0.9  # how likely it is to be a digit at all
    path, share = line.best_path([0.9, 0.5, 0.9])
    assert path == [0, 2]
    apart, together = np.exp(-0.4) * sure**2, np.exp(-0.7) * torn
    assert share == pytest.approx(apart / (apart + together))
    path, share = line.best_path([0.5, 0.9, 0.5])
    assert path == [1]
    apart, together = np.exp(-0.4) * torn**2, np.exp(-0.7) * sure
    assert share == pytest.approx(together / (apart + together))
    assert line.best_path([0.1, 0.1, 0.1])[0] in ([0, 2], [1]), "nothing is like a digit"


def test_touching_digits_are_cut_or_unsure(classifier: Classifier) -> None:
    size = (160, 420)
    places = {7: 20, 2: 110, 3: 167, 4: 260, 1: 340}
    picture = np.minimum.reduce([draw(digit, size=size, at=(35, left)) for digit, left in places.items()])
    prediction = classifier(picture, split=True)
    assert prediction.digit == "72341" or prediction.status == "unsure"


def test_separate_strokes_of_a_digit_are_merged(classifier: Classifier) -> None:
    picture = draw(4)
    # lift the pen between the two strokes
    rows = slice(100, 112)
    picture[rows] = np.where(picture[rows] < 100, 235, picture[rows])
    prediction = classifier(picture)
    assert prediction.status != "several"
    assert prediction.seen.shape == (1, 28, 28)


def test_stroke_width_is_brought_near_to_mnists() -> None:
    shares = []
    for width in (2, 9, 24):
        ((span,),) = (line.spans for line in find_writing(draw(7, width=width).astype(np.float32) / 255).page.lines)
        shares.append((span.image > 127).sum())
    # as drawn, the areas are 1 : 4 : 12
    assert shares[2] / shares[0] < 6


def test_otsu_threshold_lies_in_the_gap() -> None:
    rng = np.random.default_rng(0)
    assert 0.35 < otsu(np.concatenate([rng.normal(0.2, 0.03, 500), rng.normal(0.7, 0.05, 80)])) < 0.6
