"""scripts/evaluate.py scores checkpoints and their ensemble, and overwrites nothing."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, TEST_SIZE, Command
from PIL import Image

from mnist_lstm.inference.classifier import PRETRAINED


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, archives: Path):
    """The script as a module; it finds the tiny MNIST."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    import evaluate

    return evaluate


def test_each_checkpoint_and_the_ensemble_are_scored(evaluate, fit: Command, capsys: pytest.CaptureFixture) -> None:
    printed = []
    for seed in range(3):
        code, out, err = fit("--trainer.max_epochs=1", "--pictures_every_n_epochs=0", f"--seed_everything={seed}")
        assert code == 0, err
        printed.append(float(out.splitlines()[-1].split()[2]))
    paths = [f"runs/mnist/version_{n}/checkpoints/best.ckpt" for n in range(3)]
    assert evaluate.main([*paths, "--sheet", "sheet.png", "--output", "results.json"]) == 0
    out = capsys.readouterr().out
    results = json.loads(Path("results.json").read_text())
    assert [row["checkpoint"] for row in results] == [*paths, "mean of these 3"]
    assert [round(100 * row["accuracy"], 2) for row in results[:3]] == printed, "what fit has printed"
    for row in results:
        assert row["errors"] == len(row["wrong"]) == TEST_SIZE - round(row["accuracy"] * TEST_SIZE)
        low, high = row["accuracy_95"]
        assert low < row["accuracy"] < high
        assert f"{100 * row['accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})" in out
    low, middle, high = sorted(printed)
    assert f"single: median {middle:.2f} %, min {low:.2f} %, max {high:.2f} %" in out
    assert len(out.splitlines()) == 6
    with Image.open("sheet.png") as sheet:
        assert min(sheet.size) > 300

    assert evaluate.main(["last"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "one checkpoint is not an ensemble"


def test_ensemble_averages_probabilities(evaluate) -> None:
    labels = np.array([0, 0, 1])
    sure, torn, other = np.array([0.9, 0.1]), np.array([0.4, 0.6]), np.array([0.2, 0.8])
    one, two = np.stack([sure, torn, other]), np.stack([torn, torn, sure])
    assert evaluate.score(one, labels)["wrong"] == [1]
    assert evaluate.score(two, labels)["wrong"] == [0, 1, 2]
    assert evaluate.score(np.mean([one, two], axis=0), labels)["wrong"] == [1, 2]


def test_errors_are_counted_by_half_and_on_contested_labels(evaluate) -> None:
    assert len(set(evaluate.CONTESTED)) == 15
    labels = np.zeros(10_000, dtype=np.int64)
    probabilities = np.tile(np.array([0.75, 0.25]), (10_000, 1))
    probabilities[[0, 947, 4999, 5000, 9729]] = 0.25, 0.75
    score = evaluate.score(probabilities, labels)
    assert (score["errors"], score["errors_before_5000"], score["errors_from_5000"]) == (5, 3, 2)
    assert score["errors_on_contested_labels"] == 2
    assert score["accuracy"] == 0.9995
    assert score["loss"] == pytest.approx((9995 * -np.log(0.75) + 5 * -np.log(0.25)) / 10_000)


@pytest.mark.parametrize(("right", "total"), [(9966, 10_000), (1, 2), (0, 10), (10, 10)])
def test_interval_has_the_proportions_whose_score_is_196(evaluate, right: int, total: int) -> None:
    low, high = evaluate.wilson_interval(right, total)
    assert 0 <= low < high <= 1
    for limit in (low, high):
        if 1e-9 < limit < 1 - 1e-9:
            deviation = np.sqrt(limit * (1 - limit) / total)
            assert abs(right / total - limit) / deviation == pytest.approx(1.95996, abs=1e-5)


def test_interval_of_the_shipped_weights(evaluate) -> None:
    assert [round(100 * limit, 2) for limit in evaluate.wilson_interval(9966, 10_000)] == [99.53, 99.76]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.ckpt"], "checkpoint none.ckpt: no such file"),
        (["best"], "no run under runs"),
        (["bad.ckpt"], "bad.ckpt: .*checkpoint"),
        (["good.ckpt", "--output", "bad.ckpt"], "--output bad.ckpt: exists"),
        (["good.ckpt", "--sheet", "bad.ckpt"], "--sheet bad.ckpt: exists"),
        (["good.ckpt", "--sheet", "no/such/folder.png"], "--sheet no/such/folder.png: cannot be written"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    evaluate, args: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    Path("bad.ckpt").write_text("no checkpoint")
    Path("good.ckpt").symlink_to(PRETRAINED)
    assert evaluate.main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("evaluate: error: ")
    assert re.search(message, line)
    assert Path("bad.ckpt").read_text() == "no checkpoint"
