"""What is found beside frames, grids, ruled lines and objects, and what is never dropped in silence."""

import cv2
import numpy as np
import pytest
from drawing import draw

from mnist_lstm.inference import Classifier, load_classifier
from mnist_lstm.inference.picture import Line, Page, Span, rounds, two_tones
from mnist_lstm.inference.picture.ink import Ink, measure_ink
from mnist_lstm.inference.picture.parts import Part, find_parts
from mnist_lstm.inference.picture.two_tones import find_two_tones
from mnist_lstm.inference.picture.writing import select_writing
from mnist_lstm.inference.reading import Digit, Reading

BLANK = np.zeros((28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def in_a_frame(digit: int, gap: int) -> np.ndarray:
    """Draw a digit in a printed frame, ``gap`` pixels from its ink, beside one in a wide frame."""
    page = np.full((300, 500), 235, np.uint8)
    for left, own, space in ((80, digit, gap), (300, 3, 25)):
        ink = draw(own, size=(130, 110), at=(30, 30), height=70, width=5, ink=60, paper=235)
        page[80:210, left : left + 110] = ink
        rows, columns = np.flatnonzero((ink < 150).any(axis=1)), np.flatnonzero((ink < 150).any(axis=0))
        top, bottom = 80 + rows[0] - space, 80 + rows[-1] + space
        start, end = left + columns[0] - space, left + columns[-1] + space
        page[top - 2 : top + 1, start : end + 1] = page[bottom : bottom + 3, start : end + 1] = 70
        page[top : bottom + 1, start - 2 : start + 1] = page[top : bottom + 1, end : end + 3] = 70
    return page


@pytest.mark.parametrize("gap", [8, 12])
def test_a_frame_close_to_a_digit_does_not_make_it_look_soft(classifier: Classifier, gap: int) -> None:
    prediction = classifier(in_a_frame(2, gap), split=True)
    assert (prediction.digit, prediction.status) == ("23", "ok")


@pytest.mark.parametrize(("gap", "blur"), [(2, 0), (2, 0.8), (3, 1.2), (3, 1.6)])
def test_digits_that_touch_their_boxes_are_read(classifier: Classifier, gap: int, blur: float) -> None:
    form = np.full((120, 420), 220, np.uint8)
    for number, digit in enumerate((3, 2, 7, 4, 2)):
        start = 30 + 70 * number
        form[30:90, start : start + 44] = draw(digit, size=(60, 44), height=36, width=4, ink=70, paper=220)
        ink = form[30:90, start : start + 44] < 150
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        top, bottom, left, right = 30 + rows[0], 30 + rows[-1], start + columns[0], start + columns[-1]
        box = form[top - gap - 1 : bottom + gap + 2, left - gap - 1 : right + gap + 2]
        box[:2] = box[-2:] = box[:, :2] = box[:, -2:] = 60
    prediction = classifier(cv2.GaussianBlur(form, (0, 0), blur) if blur else form, split=True)
    assert (prediction.digit, prediction.status) == ("32742", "ok")


def test_a_one_at_the_edge_beside_other_digits_is_no_object(classifier: Classifier) -> None:
    page = draw(2, size=(300, 500), at=(100, 100), height=90, width=12, ink=40, paper=230)
    page = np.minimum(page, draw(3, size=(300, 500), at=(100, 260), height=90, width=12, ink=40, paper=230))
    page[100:190, :12] = 40
    prediction = classifier(page, split=True)
    assert (prediction.digit, prediction.status) == ("123", "ok")


@pytest.mark.parametrize("where", [np.s_[:44, 530:], np.s_[390:, 200:420], np.s_[150:400, 715:]])
def test_a_dark_object_at_the_edge_does_not_hide_pencil(classifier: Classifier, where: tuple[slice, slice]) -> None:
    paper = draw(3, size=(430, 760), at=(170, 250), height=70, width=5, ink=130, paper=190)
    paper[where] = 20
    noise = np.random.default_rng(0).normal(0, 2, paper.shape)
    prediction = classifier(np.rint((paper + noise).clip(0, 255)).astype(np.uint8))
    assert (prediction.digit, prediction.status) == (3, "ok")


@pytest.mark.parametrize(("width", "height", "level"), [(2, 45, 150), (3, 40, 120), (4, 45, 100), (2, 60, 100)])
def test_ends_of_lines_at_the_edge_are_no_digits(classifier: Classifier, width: int, height: int, level: int) -> None:
    paper = draw(7, size=(400, 400), at=(150, 150), height=50, width=12, ink=60, paper=230)
    for left in (40, 110, 290, 350):
        paper[:height, left : left + width] = paper[400 - height :, left : left + width] = level
    prediction = classifier(paper, split=True)
    assert (prediction.digit, prediction.status) == ("7", "ok")


def test_a_ruled_line_is_removed_though_an_object_lies_in_a_corner(classifier: Classifier) -> None:
    paper = draw(2, size=(400, 560), at=(80, 300), height=150, width=14, ink=80, paper=220)
    paper[170:178] = np.minimum(paper[170:178], 130)
    paper[320:, 460:540] = 120
    prediction = classifier(paper)
    assert (prediction.digit, prediction.status) == (2, "ok")


def test_separators_of_a_printed_form_are_no_ones(classifier: Classifier) -> None:
    form = np.full((60, 420), 245, np.uint8)
    for number, digit in enumerate((3, 2, 7, 4, 2)):
        left = 10 + 24 * number
        form[20:36, left : left + 16] = draw(digit, size=(16, 16), height=12, width=3, ink=40, paper=245)
    form[12:42, 6:400:24] = form[12:42, 7:400:24] = 140
    prediction = classifier(form, split=True)
    assert (prediction.digit, prediction.status) == ("32742", "ok")


@pytest.mark.parametrize(("side", "width"), [(8, 1), (15, 2), (24, 3)])
def test_the_buttons_of_a_window_are_no_digits(classifier: Classifier, side: int, width: int) -> None:
    screen = np.full((400, 400), 235, np.uint8)
    for left in (280, 320, 360):
        screen[20 : 20 + side, left : left + side] = 40
        screen[20 + width : 20 + side - width, left + width : left + side - width] = 235
    assert classifier(screen, split=True).status == "empty"


@pytest.mark.parametrize("inks", [(40, 170, 40, 170), (40, 40, 180, 180), (150, 40, 40, 40)])
def test_ink_of_another_pen_beside_dark_ink_is_read(classifier: Classifier, inks: tuple[int, ...]) -> None:
    page = np.full((300, 500), 230, np.uint8)
    for number, (digit, ink) in enumerate(zip((3, 2, 7, 4), inks, strict=True)):
        left = 40 + 110 * number
        page[100:200, left : left + 80] = draw(digit, size=(100, 80), height=60, width=7, ink=ink, paper=230)
    prediction = classifier(page, split=True)
    assert (prediction.digit, prediction.status) == ("3274", "ok")


def test_what_an_earlier_round_found_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the shadow, thresholds are lower, and one of two digits touches a faint line."""

    def part(label: int, left: int, width: int, area: int = 400) -> Part:
        return Part(left, 50, left + width, 90, label, area, 6.0, 0.5, 0.9, 1.0, 0)

    digits = [part(1, 40, 30), part(2, 90, 30)]
    shadow, on_a_line = part(3, 0, 300, area=9000), part(4, 90, 200)
    found_in_turn = iter([([*digits, shadow], digits), ([digits[0], on_a_line], digits[:1])])
    labels = np.zeros((100, 300), np.int32)
    labels[50:90, 130:290] = 3
    grey = np.full((100, 300), 0.5, np.float32)
    ink = Ink(grey, grey, 0.1, 0.2, labels.astype(np.float32), 0.02, labels > 9, is_light=False)
    found: list[Part] = []

    def find_parts(ink: Ink) -> tuple[list[Part], np.ndarray, np.ndarray]:
        parts, found[:] = next(found_in_turn)
        return parts, labels, labels > 9

    monkeypatch.setattr(rounds, "find_parts", find_parts)
    monkeypatch.setattr(rounds, "select_writing", lambda *_, **__: list(found))
    monkeypatch.setattr(rounds, "_stands_out", lambda *_: True)
    monkeypatch.setattr(rounds, "with_neighbours", lambda writing, parts, labels, *_: (writing, labels))
    monkeypatch.setattr(Ink, "without", lambda ink, _: ink if len(found) > 1 else None)
    assert [parts for parts, _, _ in rounds.find_ink(ink)] == [digits, digits[:1]]


def test_a_slice_counts_as_far_as_the_whole_is_doubted() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    slices = [Span(i, i + 1, box, BLANK, 0.0, whole=(0, 2)) for i in range(2)]
    line = Line(3, [*slices, Span(0, 2, box, BLANK, 0.0), Span(2, 3, box, BLANK, 0.0)])
    path, share = line.best_path([0.99, 0.99, 0.999, 0.99])
    assert path == [2, 3]
    assert share > 0.998
    path, share = line.best_path([0.99, 0.99, 0.12, 0.99])
    assert path == [0, 1, 3]
    assert share > 0.95


@pytest.mark.parametrize("pair", [(7, 1), (4, 7)])
def test_narrow_digits_that_touch_are_cut_beside_others(classifier: Classifier, pair: tuple[int, int]) -> None:
    size = (160, 420)
    ink = [draw(3, size=size, at=(35, 20)), draw(2, size=size, at=(35, 110)), draw(4, size=size, at=(35, 330))]
    first = draw(pair[0], size=size, at=(35, 200))
    touching = 200 + int(np.ptp(np.flatnonzero((first < 150).any(axis=0)))) - 26
    picture = np.minimum.reduce([*ink, first, draw(pair[1], size=size, at=(35, touching))])
    assert classifier(picture, split=True).digit == f"32{pair[0]}{pair[1]}4"


@pytest.mark.parametrize(
    ("box", "is_kept"),
    [
        ((0.5, 0.1, 0.6, 0.9), True),  # beside the digit
        ((0.5, 0.7, 0.6, 0.9), False),  # much lower
        ((0.15, 0.1, 0.4, 0.9), False),  # where the digit was found
    ],
)
def test_marks_of_another_finding_are_kept(box: tuple[float, float, float, float], is_kept: bool) -> None:
    digit = Span(0, 1, (0.1, 0.1, 0.2, 0.9), BLANK, 0.0)
    reading = Reading.of(Page([Line(1, [digit])]), [np.eye(10, dtype=np.float32)[7]])
    mark = Digit(Span(0, 1, box, BLANK, 0.0), (0.1,) * 10)
    kept = reading.with_marks([mark])
    assert (kept.marks == [mark]) == is_kept
    assert kept.is_sure != is_kept


@pytest.mark.parametrize(("blur", "depth", "grid"), [(2, 0.5, 0), (2, 0.5, 50), (6, 0.6, 50), (3, 0.5, 80)])
def test_the_edge_of_a_shadow_is_no_digit(classifier: Classifier, blur: float, depth: float, grid: int) -> None:
    paper = draw(3, size=(560, 760), at=(150, 250), height=110, width=14, ink=70, paper=200) / 255
    y, x = np.mgrid[:560, :760]
    if grid:
        paper = paper * np.where((x % grid < 2) | (y % grid < 2), 0.85, 1)
    shade = cv2.GaussianBlur((x > 520 + 40 * np.sin(y / 60)).astype(np.float32), (0, 0), blur)
    prediction = classifier(np.rint(255 * paper * (1 - depth * shade)).astype(np.uint8), split=True)
    assert (prediction.digit, prediction.status) == ("3", "ok")


@pytest.mark.parametrize(("digit", "at"), [(4, 250), (7, 250), (7, 260), (2, 250)])
def test_a_digit_across_the_edge_of_a_shadow_is_not_dropped(classifier: Classifier, digit: int, at: int) -> None:
    size = (300, 500)
    digits = [
        draw(d, size=size, at=(100, left), height=70, width=5, ink=70, paper=210)
        for d, left in ((digit, 230), (3, 350))
    ]
    y, x = np.mgrid[:300, :500]
    shade = cv2.GaussianBlur((x < at + 6 * np.sin(y / 40)).astype(np.float32), (0, 0), 3)
    prediction = classifier(np.rint(np.minimum(*digits) * (1 - 0.6 * shade)).astype(np.uint8), split=True)
    assert (prediction.digit, prediction.status) == (f"{digit}3", "ok")


def test_a_shadow_over_half_of_a_sheet_is_no_digit(classifier: Classifier) -> None:
    y, x = np.mgrid[:528, :704]
    shade = cv2.GaussianBlur((x > 0.9 * y + 30 * np.sin(y / 50)).astype(np.float32), (0, 0), 12)
    light = 190 - 40 * np.hypot(x - 300, y - 350) / 500 - 60 * shade
    assert classifier(np.rint(light).astype(np.uint8)).status == "empty"


def flash(height: float, width: float, at: tuple[int, int], level: float, noise: float) -> np.ndarray:
    """Paper in the light of a flash: a bright spot with soft edges, no ink."""
    y, x = np.mgrid[:390, :518]
    spot = height * np.exp(-(((x - at[1]) / width) ** 2 + ((y - at[0]) / 85) ** 2) / 2)
    return level + spot + np.random.default_rng(0).normal(0, noise, x.shape)


FLASHES = [(0.35, 60, (165, 291), 0.6, 0.01), (0.3, 61, (237, 200), 0.5, 0.004), (0.25, 80, (124, 314), 0.65, 0.0),
           (0.25, 69, (231, 257), 0.45, 0.0), (0.2, 74, (158, 282), 0.5, 0.01)]  # fmt: skip


@pytest.mark.parametrize("spot", FLASHES)
def test_a_flash_is_no_zero(classifier: Classifier, spot: tuple[float, float, tuple[int, int], float, float]) -> None:
    assert classifier(np.rint(255 * flash(*spot).clip(0, 1)).astype(np.uint8)).status == "empty"


@pytest.mark.parametrize("spot", FLASHES[:2])
def test_pale_ink_in_a_flash_is_read(
    classifier: Classifier, spot: tuple[float, float, tuple[int, int], float, float]
) -> None:
    pencil = draw(3, size=(390, 518), at=(120, 200), height=120, width=7, ink=190, paper=255) / 255
    prediction = classifier(np.rint(255 * (flash(*spot) * pencil).clip(0, 1)).astype(np.uint8))
    assert (prediction.digit, prediction.status) == (3, "ok")


@pytest.mark.parametrize(("blur", "found"), [(2, 1), (40, 0)])
def test_a_soft_shadow_has_no_two_tones(blur: float, found: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_tones, "ONE_SIDE", 1.0)
    y, x = np.mgrid[:640, :480]
    light = ((x < 260 - 0.15 * y) & (y > 60)).astype(np.float32)
    grey = 0.4 + 0.4 * cv2.GaussianBlur(light, (0, 0), blur)
    assert len(list(find_two_tones(grey))) == found


@pytest.mark.parametrize(("top", "bottom"), [(0.16, 0.6), (0.18, 0.42)])
def test_light_from_a_side_is_no_digit(
    classifier: Classifier, top: float, bottom: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, x = np.mgrid[:201, :84] / np.array([201, 84])[:, None, None]
    light = cv2.GaussianBlur((x < top + (bottom - top) * y).astype(np.float32), (0, 0), 1.7)
    grain = np.random.default_rng(0).normal(0, 0.01, light.shape)
    picture = (0.66 * (0.7 + 0.3 * light) * (1 - 0.6 * ((x - 0.42) ** 2 + (y - 0.4) ** 2)) + grain).astype(np.float32)
    assert classifier(picture).status == "empty"
    monkeypatch.setattr(two_tones, "ONE_SIDE", 1.0)
    assert classifier(picture).digit == 1


@pytest.mark.parametrize(
    ("digit", "width", "points", "stroke", "ink"),
    [
        (7, 240, [(60, 20), (226, 20), (226, 299)], 26, 150),
        (7, 240, [(60, 20), (226, 20), (226, 299)], 26, 95),
        (1, 110, [(40, 110), (89, 20), (89, 280)], 40, 60),
        (1, 110, [(0, 110), (89, 20), (89, 280)], 40, 150),
    ],
    ids=["slender", "slender and darker", "dark", "from edge to edge"],
)
def test_a_digit_along_the_edge_is_no_light(
    classifier: Classifier, digit: int, width: int, points: list[tuple[int, int]], stroke: int, ink: int
) -> None:
    drawn = np.zeros((300, width), np.uint8)
    cv2.polylines(drawn, [np.array(points)], False, 255, stroke)
    prediction = classifier(np.rint(220 + (ink - 220) * cv2.GaussianBlur(drawn / 255, (0, 0), 1)).astype(np.uint8))
    assert (prediction.digit, prediction.status) == (digit, "ok")


def test_pale_ink_that_fills_a_side_and_its_box_is_light() -> None:
    def is_writing(width: int = 30, area: int = 2208, level: float = 0.44, edges: int = 3) -> bool:
        part = Part(0, 0, width, 120, 1, area, 18.0, level, 0.8, 0.4, edges)
        labels = np.zeros((120, 50), np.int32)
        labels[:100, :18] = 1
        return select_writing([part], labels) == [part]

    assert not is_writing()
    assert is_writing(area=1200)  # a stroke, bent
    assert is_writing(level=0.8)
    assert is_writing(width=50, area=3000, edges=4)


def test_a_sheet_that_is_half_in_the_shade_is_no_digit(classifier: Classifier) -> None:
    picture = np.full((600, 450), 60, np.float32)
    picture[400:580, 190:325] = 200
    picture[:, :240] *= 0.6
    assert classifier(cv2.GaussianBlur(picture, (0, 0), 2).astype(np.uint8)).status == "empty"


def test_corners_in_the_dark_are_no_close_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:668, :501]
    shade = cv2.GaussianBlur((x > 501 - 0.55 * (y - 200) - 10 * np.sin(y / 50)).astype(np.float32), (0, 0), 5)
    light = 0.8 * (1 - 0.3 * (np.hypot(x - 150, y - 375) / 450) ** 2)
    corners = (light * (1 - 0.4 * shade)).astype(np.float32)
    monkeypatch.setattr(two_tones, "ONE_SIDE", 1.0)
    assert not list(find_two_tones(corners))
    monkeypatch.setattr(two_tones, "FADED", 1.0)
    assert list(find_two_tones(corners))


def test_a_box_in_the_shade_is_no_close_crop() -> None:
    y, x = np.mgrid[:486, :865]
    shade = cv2.GaussianBlur((y > 470 - 0.16 * x - 20 * np.sin(x / 100)).astype(np.float32), (0, 0), 6)
    box = 0.63 * (1 - 0.55 * shade)
    cv2.rectangle(box, (520, 62), (750, 345), 0.31, 8)
    assert not list(find_two_tones(box.astype(np.float32)))


def test_a_stroke_has_an_edge_all_around_but_a_patch_of_light_fades() -> None:
    stroke = draw(3, size=(300, 400), at=(60, 120), height=160, width=9, ink=90, paper=200) / 255
    x = np.arange(400) * np.ones((300, 1))
    light = 0.45 + 0.3 * np.clip((260 - x) / 100, 0, 1) * (x > 150)
    faded = []
    for page, is_light in ((stroke, False), (light, True)):
        ink = measure_ink(cv2.GaussianBlur(page.astype(np.float32), (0, 0), 2), is_light)
        assert ink is not None
        faded += [part.faded for part in find_parts(ink)[0]]
    assert faded[0] == 0
    assert min(faded[1:]) > 0.4


def test_a_corner_of_faint_squares_is_no_writing() -> None:
    paper = np.full((500, 700), 0.86, np.float32)
    paper[200:203, 300:360] = paper[200:280, 358:361] = 0.75
    ink = measure_ink(paper, light=False)
    assert ink is not None
    assert not list(rounds.find_ink(ink))


@pytest.mark.parametrize(("ink", "line", "every"), [(170, 0.92, 40), (170, 0.9, 31), (180, 0.92, 31)])
def test_faint_lines_do_not_join_pencilled_digits(classifier: Classifier, ink: int, line: float, every: int) -> None:
    size = (500, 700)
    digits = [
        draw(digit, size=size, at=(200 + i % 2 * 7, 150 + 90 * i), height=62, width=4, ink=ink, paper=212)
        for i, digit in enumerate((2, 3, 4, 7, 2))
    ]
    y, x = np.mgrid[:500, :700]
    squared = np.minimum.reduce(digits) / 255 * np.where((x % every < 2) | (y % every < 2), line, 1)
    squared = squared + np.random.default_rng(0).normal(0, 0.004, size)
    soft = cv2.GaussianBlur(squared.clip(0, 1), (0, 0), 0.7)
    prediction = classifier(np.rint(255 * soft).astype(np.uint8), split=True)
    assert (prediction.digit, prediction.status) == ("23472", "ok")
