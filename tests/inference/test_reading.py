"""Which ink is a digit, which finding counts, and what is said about the rest."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from mnist_lstm.errors import InputError
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.classifier import PRETRAINED, Classifier
from mnist_lstm.inference.picture import Line, Page, Span, Writing
from mnist_lstm.inference.reading import Reading
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.inference.view import FOUND, LEFT_OUT, draw_view

BLANK = np.zeros((28, 28), np.uint8)


def row(digit: int, probability: float) -> np.ndarray:
    rest = (1 - probability) / 9
    return np.array([probability if d == digit else rest for d in range(10)], np.float32)


def line_of(count: int, height: float = 1.0) -> Line:
    boxes = [((i + 0.1) / count, 0.05, (i + 0.8) / count, 0.05 + 0.9 * height) for i in range(count)]
    return Line(count, [Span(i, i + 1, box, BLANK, 0.0) for i, box in enumerate(boxes)])


class Fake(Classifier):
    """A classifier whose network answers with given rows, in the order in which it is asked."""

    def __init__(self, rows: list[np.ndarray]) -> None:
        super().__init__(load_classifier().backend)
        self.rows = rows

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        answers, self.rows = self.rows[: len(images)], self.rows[len(images) :]
        return np.array(answers, np.float32).reshape(-1, 10)


def test_ink_that_is_no_digit_is_left_out_beside_digits() -> None:
    reading = Reading.of(Page([line_of(3), line_of(1)]), [row(4, 0.99), row(7, 0.12), row(2, 0.8), row(1, 0.15)])
    assert [[digit.value for digit in line] for line in reading.lines] == [[4, 2]]
    assert [mark.value for mark in reading.marks] == [7, 1]
    assert reading.probability == pytest.approx(0.99 * 0.8 * reading.division)
    assert not reading.is_sure


def test_the_only_ink_is_kept_whatever_it_is() -> None:
    reading = Reading.of(Page([line_of(1)]), [row(5, 0.14)])
    assert [digit.value for digit in reading.digits] == [5]
    assert reading.marks == []
    assert reading.probability == pytest.approx(0.14)


def test_division_is_that_of_plausible_digits() -> None:
    whole = Span(0, 2, (0.0, 0.0, 2.0, 1.0), BLANK, 0.0)
    line = Line(2, [*line_of(2).spans, whole])
    apart = Reading.of(Page([line]), [row(1, 0.99), row(0, 0.99), row(4, 0.11)])
    assert [digit.value for digit in apart.digits] == [1, 0]
    assert apart.division > 0.95
    torn = Reading.of(Page([line]), [row(1, 0.6), row(0, 0.6), row(4, 0.6)])
    assert torn.division < 0.7


@pytest.mark.parametrize(
    ("height", "status", "message"),
    [(0.9, "unsure", "1 mark beside it that is no digit left out"), (0.3, "ok", "1 mark beside it that is no digit")],
)
def test_large_marks_make_an_answer_unsure_and_small_ones_are_told(height: float, status: str, message: str) -> None:
    lines = [Line(2, [*line_of(1).spans, Span(1, 2, (1.0, 0.0, 2.0, height), BLANK, 0.0)])]
    (prediction,) = Fake([row(8, 0.99), row(3, 0.12)]).predict([Writing(Page(lines))])
    assert (prediction.digit, prediction.status, len(prediction.boxes)) == (8, status, 1)
    assert prediction.message.startswith(message)


def test_bars_and_dots_between_digits_are_told_and_shown_where_they_are() -> None:
    dash = Span(0, 1, (0.4, 0.5, 0.6, 0.55), BLANK, 0.0)
    (prediction,) = Fake([row(8, 0.99), row(3, 0.99), row(1, 0.6)]).predict(
        [Writing(Page([line_of(2)], [dash]))], split=True
    )
    assert (prediction.digit, prediction.status) == ("83", "ok")
    assert prediction.message == "1 mark beside it that is no digit left out"
    assert [(mark.digit, mark.left) for mark in prediction.marks] == [(1, 0.4)]


def test_no_ink_is_dropped_in_silence() -> None:
    paper = np.full((200, 600), 255, np.uint8)
    paper[40:160, 90:102] = paper[40:160, 490:502] = 0  # two ones
    paper[96:106, 240:340] = 0  # a dash
    prediction = load_classifier()(paper, split=True)
    assert (prediction.digit, prediction.status) == ("11", "ok")
    assert "1 mark" in prediction.message
    ((mark, *_),) = (prediction.marks,)
    assert (mark.left, mark.right) == pytest.approx((0.4, 0.567), abs=0.02)


def test_show_draws_stages_and_what_was_left_out(command: Command) -> None:
    paper = np.full((200, 400), 255, np.uint8)
    paper[40:160, 90:100] = 0  # a 1
    paper[40:160, 200:300:20] = 0  # a comb
    paper[96:104, 200:300] = 0
    Image.fromarray(paper).save("comb.png")
    assert command("classify", "comb.png", "--split", "--show", "seen")[0] == 0
    with Image.open("seen/00000-comb.png") as view:
        pixels = np.asarray(view.convert("RGB")).reshape(-1, 3)
    assert view.height == 630
    assert (pixels == (213, 94, 0)).all(axis=1).any()
    (prediction,) = Fake([row(1, 0.99), row(3, 0.12)]).predict([Writing(Page([line_of(2)]))])
    drawn = np.asarray(draw_view(Image.new("L", (20, 20), 255), prediction)).reshape(-1, 3)
    for colour in (FOUND, LEFT_OUT):
        assert (drawn == colour).all(axis=1).any()


def test_what_is_no_digit_is_unsure_with_the_reason() -> None:
    (prediction,) = Fake([row(3, 0.12)]).predict([Writing(Page([line_of(1)]))])
    assert (prediction.digit, prediction.status) == (3, "unsure")
    assert prediction.message == "it does not look like a digit"
    (prediction,) = Fake([row(3, 0.45)]).predict([Writing(Page([line_of(1)]))])
    assert (prediction.status, prediction.message) == ("unsure", "its probability is below 0.5")


def finding(count: int = 1, *, is_guess: bool = False, amount: float = 1.0, is_drawn: bool = True) -> Any:
    return SimpleNamespace(
        page=Page([line_of(count)]), is_guess=is_guess, amount=amount, is_drawn=is_drawn, stages=dict
    )


def test_other_findings_are_asked_for_only_in_doubt() -> None:
    asked = []

    def others():
        for name in ("second", "third"):
            asked.append(name)
            yield finding()

    def read(*rows: np.ndarray) -> tuple[Any, str, list[str]]:
        asked.clear()
        (prediction,) = Fake(list(rows)).predict([Writing(Page([line_of(1)]), finding(), others())])
        return prediction.digit, prediction.status, list(asked)

    assert read(row(6, 0.95)) == (6, "ok", [])
    assert read(row(6, 0.2), row(9, 0.97)) == (9, "ok", ["second"])
    assert read(row(6, 0.6), row(9, 0.3), row(2, 0.4)) == (6, "ok", ["second", "third"])
    assert read(row(6, 0.6), row(9, 0.3), row(2, 0.95)) == (2, "ok", ["second", "third"])
    assert read(row(6, 0.4), row(9, 0.45), row(2, 0.3)) == (6, "unsure", ["second", "third"]), "the first is likelier"


def test_a_guess_counts_only_if_the_network_is_sure_of_it() -> None:
    def read(guess: np.ndarray, *other: np.ndarray) -> tuple[Any, str]:
        others = iter([finding(is_guess=True) for _ in other])
        (prediction,) = Fake([guess, *other]).predict([Writing(Page([line_of(1)]), finding(is_guess=True), others)])
        return prediction.digit, prediction.status

    assert read(row(6, 0.95)) == (6, "ok")
    assert read(row(6, 0.8)) == (None, "empty")
    assert read(row(6, 0.8), row(9, 0.85)) == (None, "empty")
    assert read(row(6, 0.8), row(9, 0.95)) == (9, "ok")
    for amount, status in ((1.0, "several"), (0.0, "empty")):
        two = iter([finding(2, is_guess=True, amount=amount)])
        rows = [row(6, 0.8), row(1, 0.99), row(7, 0.7)]
        (prediction,) = Fake(rows).predict([Writing(Page([line_of(1)]), finding(is_guess=True), two)])
        assert prediction.status == status, "one of the two is doubtful"


def test_faint_or_solid_ink_that_is_no_digit_is_an_empty_sheet_with_a_mark() -> None:
    for is_drawn, status in ((False, "empty"), (True, "unsure")):
        writing = Writing(Page([line_of(1)]), finding(is_drawn=is_drawn), iter([]))
        (prediction,) = Fake([row(6, 0.12)]).predict([writing])
        assert prediction.status == status
    (prediction,) = Fake([row(6, 0.12)]).predict([Writing(Page([line_of(1)]), finding(is_drawn=False), iter([]))])
    assert prediction.message == "there is nothing written in it, but 1 mark that is no digit"
    assert len(prediction.marks) == 1
    (prediction,) = Fake([row(6, 0.45)]).predict([Writing(Page([line_of(1)]), finding(is_drawn=False), iter([]))])
    assert prediction.status == "unsure"


def test_a_picture_without_any_finding_is_empty() -> None:
    (prediction,) = Fake([]).predict([Writing(Page([]), None, iter([]))])
    assert (prediction.status, prediction.digit) == ("empty", None)


def test_temperature_flattens_probabilities_and_keeps_answers() -> None:
    plain = load_classifier()
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    sharp, flat = (TorchBackend(plain.network, t)(images) for t in (1.0, 3.0))
    assert np.array_equal(sharp.argmax(axis=1), flat.argmax(axis=1))
    assert (flat.max(axis=1) < sharp.max(axis=1)).all()
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature"):
            TorchBackend(plain.network, temperature)


def test_temperature_comes_from_the_card_beside_a_checkpoint(command: Command) -> None:
    Path("w").mkdir()
    Path("w/weights.ckpt").write_bytes(PRETRAINED.read_bytes())
    assert load_classifier("w/weights.ckpt").temperature == 1
    card = Path("w/card.json")
    for content, expected in (
        ({"weights": "weights.ckpt", "temperature": 2.5}, 2.5),
        ({"weights": "weights.ckpt"}, 1),
        ({"weights": "other.ckpt", "temperature": 2.5}, 1),
    ):
        card.write_text(json.dumps(content))
        assert load_classifier("w/weights.ckpt").temperature == expected
    for bad in ("[]", "{", "[" * 100_000, '{"weights": "weights.ckpt", "temperature": "warm"}', "{}", "\xff"):
        card.write_text(bad, encoding="latin-1")
        code, _, err = command("classify", "x.png", "--ckpt_path", "w/weights.ckpt")
        assert code == 2
        assert "card.json" in err
        assert "Traceback" not in err
    for bad in ("0", "-1", "NaN", "1e999"):
        card.write_text(f'{{"weights": "weights.ckpt", "temperature": {bad}}}')
        with pytest.raises(InputError, match="temperature"):
            load_classifier("w/weights.ckpt")
