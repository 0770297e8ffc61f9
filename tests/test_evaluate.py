"""scripts/evaluate.py counts errors, one by one and together, and overwrites nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, TEST_SIZE, Command
from PIL import Image


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, archives: Path):
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    import evaluate

    return evaluate


def test_each_and_all_together(evaluate, fit: Command, capsys: pytest.CaptureFixture) -> None:
    printed = []
    for seed in range(3):
        code, out, err = fit("--trainer.log_every_n_steps=2", f"--seed_everything={seed}")
        assert code == 0, err
        printed.append(float(out.splitlines()[-1].split()[2]))
    paths = [f"runs/mnist/version_{n}/checkpoints/best.ckpt" for n in range(3)]
    assert evaluate.main([*paths, "--sheet", "sheet.png", "--output", "results.json"]) == 0
    out = capsys.readouterr().out
    results = json.loads(Path("results.json").read_text())
    assert [row["checkpoint"] for row in results] == [*paths, "mean of these 3"]
    assert [round(100 * row["accuracy"], 2) for row in results[:3]] == printed, "what fit has told"
    for row in results:
        assert row["errors"] == len(row["wrong"]) == TEST_SIZE - round(row["accuracy"] * TEST_SIZE)
    low, middle, high = sorted(printed)
    assert f"single: median {middle:.2f} %, min {low:.2f} %, max {high:.2f} %" in out
    assert len(out.splitlines()) == 6
    with Image.open("sheet.png") as sheet:
        assert min(sheet.size) > 300

    capsys.readouterr()
    assert evaluate.main(["last"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "one is no ensemble"


def test_the_mean_is_of_probabilities(evaluate) -> None:
    labels = np.array([0, 0, 1])
    sure, torn, other = np.array([0.9, 0.1]), np.array([0.4, 0.6]), np.array([0.2, 0.8])
    one, two = np.stack([sure, torn, other]), np.stack([torn, torn, sure])
    assert evaluate.score(one, labels)["wrong"] == [1]
    assert evaluate.score(two, labels)["wrong"] == [0, 1, 2]
    assert evaluate.score(np.mean([one, two], axis=0), labels)["wrong"] == [1, 2]


def test_errors_are_told_apart(evaluate) -> None:
    assert len(set(evaluate.CONTESTED)) == 15
    labels = np.zeros(10_000, dtype=np.int64)
    probabilities = np.tile(np.array([0.75, 0.25]), (10_000, 1))
    probabilities[[0, 947, 4999, 5000, 9729]] = 0.25, 0.75
    score = evaluate.score(probabilities, labels)
    assert (score["errors"], score["errors_before_5000"], score["errors_from_5000"]) == (5, 3, 2)
    assert score["errors_on_contested_labels"] == 2
    assert score["accuracy"] == 0.9995
    assert score["loss"] == pytest.approx((9995 * -np.log(0.75) + 5 * -np.log(0.25)) / 10_000)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.ckpt"], "none.ckpt: no such file"),
        (["best"], "there is no run under runs"),
        (["bad.ckpt"], "bad.ckpt: is no checkpoint"),
        (["good.ckpt", "--output", "bad.ckpt"], "bad.ckpt: exists already and is not overwritten"),
        (["good.ckpt", "--sheet", "bad.ckpt"], "bad.ckpt: exists already and is not overwritten"),
        (["good.ckpt", "--sheet", "no/such/folder.png"], "cannot be written"),
    ],
)
def test_bad_input_is_told_in_one_line(evaluate, args: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    from mnist_lstm.inference.classify import PRETRAINED

    Path("bad.ckpt").write_text("no checkpoint")
    Path("good.ckpt").symlink_to(PRETRAINED)
    assert evaluate.main(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("evaluate: error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert Path("bad.ckpt").read_text() == "no checkpoint"
