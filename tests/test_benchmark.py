"""scripts/benchmark.py runs, compares what it says, and writes it down. How long anything takes is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """Import the script's parts as the script does."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import benchmark

    return benchmark


@pytest.fixture
def data_dir(archives: Path) -> str:
    """The tiny MNIST, unpacked."""
    from mnist_lstm import mnist_files

    mnist_files.fetch(Path("data"), archives)
    return "data"


def test_train_runs_all_rivals_in_turn(benchmark, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # six steps an epoch are fewer than the trainer logs after
    monkeypatch.setattr("lightning.pytorch.loops.fit_loop.rank_zero_warn", lambda *args, **kwargs: None)
    args = ["train", "--rounds", "2", "--hidden_size", "8", "--data_dir", data_dir, "--output", "train.json"]
    assert benchmark.main(args) == 0
    result = json.loads(Path("train.json").read_text(encoding="utf-8"))
    assert result["subject"] == "train"
    assert result["machine"]["torch"] == torch.__version__
    assert {name: len(seconds) for name, seconds in result["times"].items()} == {
        "fit: its steps": 2,
        "fit: its epoch with validation and checkpoints": 2,
        "fit: its pause between epochs": 2,
        "the bare loop": 2,
        "the limit": 2,
        "the tutorial loop": 2,
        "... on one thread": 2,
    }
    assert result["steps"] == 6, "350 images in batches of 64"
    assert not Path("runs").exists()


def test_the_tutorial_loop_is_the_same_network(benchmark) -> None:
    from benchmarks.rivals import Tutorial

    from mnist_lstm.model import RowLSTM

    ours, theirs = RowLSTM(28, 64, init="pytorch"), Tutorial()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data.copy_(own)
    images = torch.randn(5, 28, 28)
    assert torch.equal(ours(images), theirs(images))


def test_a_loop_that_does_not_learn_is_no_rival(benchmark) -> None:
    from benchmarks.rivals import check_that_it_learns

    check_that_it_learns("good", [2.0 - 0.01 * step for step in range(100)])
    with pytest.raises(RuntimeError, match="bad has not learnt"):
        check_that_it_learns("bad", [2.0] * 100)


def test_ratios_are_of_the_same_round(benchmark) -> None:
    from benchmarks.measure import compare, interleave

    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3, "one round warms up"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 2, "b": 2}
    row = compare({"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 3.0]}, "a", "b")
    assert (row["ratio"], row["min"], row["max"], row["rounds"]) == (1.0, 0.5, 2.0, 3)


def test_infer_checks_that_the_answers_are_the_same(benchmark, data_dir: str, capsys: pytest.CaptureFixture) -> None:
    assert benchmark.main(["infer", "--rounds", "1", "--data_dir", data_dir, "--output", "infer.json"]) == 0
    result = json.loads(Path("infer.json").read_text(encoding="utf-8"))
    assert result["images"] == 100
    assert result["same answers"] == 100
    assert "classifier(images)" in capsys.readouterr().out


def test_augment_compares_with_libraries_and_a_step(
    benchmark, data_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from benchmarks import augment

    monkeypatch.setattr(augment, "REPEATS", 1)
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)  # it is not among what the tests need
    assert benchmark.main(["augment", "--rounds", "1", "--data_dir", data_dir, "--output", "augment.json"]) == 0
    result = json.loads(Path("augment.json").read_text(encoding="utf-8"))
    assert result["images"] == 128
    step = "a step of the record's network, bfloat16"
    assert [row["what"] for row in result["ratios"]] == ["distort", "distort", "straighten", step]
    assert "kornia is not installed, and left out" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "args", [["startup", "--rounds", "1"], ["scale", "--rounds", "1", "--quick", "--plot", "a.png"]]
)
def test_the_others_run(args: list[str]) -> None:
    result = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert ("exponent" in result.stdout) == (args[0] == "scale")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["gpu", "--data_dir", "nowhere"], "PyTorch sees no CUDA GPU"),
        (["train", "--output", "there.json"], "there.json: exists already and is not overwritten"),
        (["scale", "--plot", "there.json"], "--plot there.json: exists already and is not overwritten"),
        (["infer", "--ckpt_path", "none.ckpt"], "none.ckpt"),
    ],
)
def test_bad_input_is_told_in_one_line(
    benchmark, args: list[str], message: str, data_dir: str, capsys: pytest.CaptureFixture
) -> None:
    if args[0] == "gpu" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    Path("there.json").touch()
    assert benchmark.main(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("benchmark: error: ")
    assert message in err
    assert len(err.splitlines()) == 1
