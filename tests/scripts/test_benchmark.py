"""scripts/benchmark.py runs, compares the right things, and writes its results; how long they take is not tested."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import REPOSITORY

from mnist_lstm.data import datasets
from mnist_lstm.export.build import build_onnx
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.network.model import RowLSTM

SCRIPT = REPOSITORY / "scripts" / "benchmark.py"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """The script as a module; its parts are imported as it imports them."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import benchmark

    return benchmark


@pytest.fixture
def data_dir(archives: Path) -> str:
    """A folder with the tiny MNIST, unpacked."""
    datasets.prepare("mnist", "data", archives)
    return "data"


def test_train_measures_all_rivals_in_turn(benchmark, data_dir: str) -> None:
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
    assert len(result["ratios"]) == 6
    assert result["steps"] == 6, "350 images in batches of 64"
    assert not Path("runs").exists()


def test_tutorial_network_computes_the_same_as_ours(benchmark) -> None:
    from benchmarks.rivals import Tutorial

    ours, theirs = RowLSTM(hidden_size=64, bidirectional=False, init="pytorch"), Tutorial()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data.copy_(own)
    images = torch.randn(5, 28, 28)
    assert torch.equal(ours(images), theirs(images))


def test_tutorial_loop_reads_inputs_from_0_to_1(benchmark, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.rivals import Tutorial, tutorial_loop

    batches = []
    forward = Tutorial.forward
    monkeypatch.setattr(Tutorial, "forward", lambda self, images: batches.append(images) or forward(self, images))
    tutorial_loop(Path(data_dir), seed=0, limit=2)
    assert [batch.shape for batch in batches] == [(64, 28, 28)] * 2
    assert all((batch.min(), batch.max()) == (0, 1) for batch in batches)


def test_loop_that_does_not_learn_is_refused(benchmark) -> None:
    from benchmarks.rivals import check_that_it_learns

    check_that_it_learns("good", [2.0 - 0.01 * step for step in range(100)])
    with pytest.raises(RuntimeError, match="bad does not learn"):
        check_that_it_learns("bad", [2.0] * 100)


def test_candidates_run_in_turn_and_ratios_are_taken_per_round(benchmark) -> None:
    from benchmarks.measure import compare, interleave

    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3, "one round warms up"
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 2, "b": 2}
    row = compare({"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 3.0]}, "a", "b")
    assert (row["ratio"], row["min"], row["max"], row["rounds"]) == (1.0, 0.5, 2.0, 3)


def test_infer_counts_equal_answers(benchmark, data_dir: str, capsys: pytest.CaptureFixture) -> None:
    assert benchmark.main(["infer", "--rounds", "1", "--data_dir", data_dir, "--output", "infer.json"]) == 0
    result = json.loads(Path("infer.json").read_text(encoding="utf-8"))
    assert result["images"] == 100
    assert result["same answers"] == 100
    assert "classifier(images)" in capsys.readouterr().out


def test_augment_compares_with_libraries_and_a_training_step(
    benchmark, data_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from benchmarks import augment

    monkeypatch.setattr(augment, "REPEATS", 1)
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)  # as if it were not installed
    assert benchmark.main(["augment", "--rounds", "1", "--data_dir", data_dir, "--output", "augment.json"]) == 0
    result = json.loads(Path("augment.json").read_text(encoding="utf-8"))
    assert result["images"] == 128
    step = "a step of the record's network, bfloat16"
    assert [row["what"] for row in result["ratios"]] == ["distort", "distort", "deskew", step]
    assert "kornia is not installed" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "args",
    [["startup", "--rounds", "1", "--onnx", "small.onnx"], ["scale", "--rounds", "1", "--quick", "--plot", "a.png"]],
)
def test_startup_and_scale_run(args: list[str]) -> None:
    Path("small.onnx").write_bytes(build_onnx(TorchBackend(RowLSTM(hidden_size=2))))
    result = subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert ("exponent" in result.stdout) == (args[0] == "scale")
    assert ("with onnxruntime / mnist-lstm classify" in result.stdout) == (args[0] == "startup")


@pytest.mark.slow
def test_race_compares_accuracies(benchmark, data_dir: str) -> None:
    assert benchmark.main(["race", "--rounds", "1", "--data_dir", data_dir, "--output", "race.json"]) == 0
    result = json.loads(Path("race.json").read_text(encoding="utf-8"))
    assert {name: len(shares) for name, shares in result["accuracies"].items()} == {"fit": 1, "the tutorial loop": 1}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_train_on_a_gpu_takes_the_config_of_the_precision_and_counts_waits(
    benchmark, data_dir: str, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    from benchmarks import train

    # the CPU in the place of a GPU: what is run and returned is the same
    for name in train.GPU_CONFIGS.values():
        Path(name).write_text("trainer: {accelerator: cpu}")
    monkeypatch.setattr(train, "CONFIGS", Path.cwd())
    modes: list[str] = []
    cuda = SimpleNamespace(is_available=lambda: True, set_sync_debug_mode=modes.append)
    fake = SimpleNamespace(cuda=cuda, get_num_threads=torch.get_num_threads)
    monkeypatch.setattr(train, "torch", fake)
    monkeypatch.setattr(train.rivals.graphs, "capture", lambda run: (lambda: None, run()))
    args = ["train", "--accelerator", "gpu", "--precision", precision, "--rounds", "1", "--data_dir", data_dir]
    assert benchmark.main([*args, "--output", "gpu.json"]) == 0
    result = json.loads(Path("gpu.json").read_text(encoding="utf-8"))
    assert {row["over"] for row in result["ratios"]} == {"the bare loop", "... with graphs", "the limit", train.STEPS}
    assert (result["waits"], result["steps"]) == (0, 6), "350 images in batches of 64"
    assert modes == ["default", "warn", "default"], "the sanity check validates first"


def test_goal_stops_at_the_first_validation_that_reaches_it(benchmark, data_dir: str) -> None:
    Path("own.yaml").write_text("trainer: {accelerator: cpu, max_epochs: 3}\nmodel: {hidden_size: 8}\n")
    args = ["goal", "--config", "own.yaml", "--rounds", "2", "--data_dir", data_dir]
    for share, number, reached in (("0", 1, True), ("1.1", 3, False)):
        assert benchmark.main([*args, "--share", share, "--output", f"{share}.json"]) == 0
        result = json.loads(Path(f"{share}.json").read_text(encoding="utf-8"))
        assert [len(accuracies) for accuracies in result["accuracies"]] == [number] * 2
        assert [seconds is not None for seconds in result["seconds"]] == [reached] * 2
        assert (result["median"] is not None) == reached


@pytest.mark.slow
def test_scaling_measures_processes_at_either_batch(benchmark, capsys: pytest.CaptureFixture) -> None:
    sizes = ["--dataset", "digits", "--hidden_size", "4", "--batch_size", "16", "--steps", "4"]
    args = ["scaling", "--rounds", "1", "--processes", "2", "--output", "scaling.json", *sizes]
    assert benchmark.main(args) == 0
    rows = json.loads(Path("scaling.json").read_text(encoding="utf-8"))["rows"]
    measured = [(row["processes"], row["kept"], row["images"]) for row in rows if row["threads"] == 1]
    assert measured == [(1, "", 16), (2, "global", 16), (2, "local", 32)]
    assert (rows[0]["over one process"]["ratio"], rows[0]["processor"]["ratio"]) == (1, 1)
    for row in rows:
        (seconds,) = row["seconds"]
        assert seconds["processor"] > 0
        assert (seconds["all-reduce"] > 0) == (row["processes"] > 1)
        assert seconds["all-reduce"] + seconds["waiting"] < seconds["step"]
    assert "all-reduce  waiting" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--accelerator", "gpu"], "no CUDA GPU"),
        (["train", "--output", "there.json"], "--output there.json: exists"),
        (["scale", "--plot", "there.json"], "--plot there.json: exists"),
        (["infer", "--ckpt_path", "none.ckpt"], "none.ckpt"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    benchmark,
    args: list[str],
    message: str,
    data_dir: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("there.json").touch()
    assert benchmark.main(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("benchmark: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_serve_counts_answers_and_no_errors(benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    args = ["serve", "--rounds", "1", "--requests", "40", "--clients", "4", "--rate", "100", "--output", "serve.json"]
    assert benchmark.main(args) == 0
    result = json.loads(Path("serve.json").read_text(encoding="utf-8"))
    one, many, steady = (rounds[0] for rounds in result["loads"].values())
    assert [load["answers"] for load in (one, many, steady)] == [10, 40, 40]
    assert [load["errors"] for load in (one, many, steady)] == [0, 0, 0]
    assert result["ratio"] == pytest.approx(many["per second"] / one["per second"])
    assert "4 clients over one client" in capsys.readouterr().out
