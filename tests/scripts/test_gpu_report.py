"""scripts/gpu_report.py runs its parts, reports failures, and goes on; it measures nothing here."""

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY


@pytest.fixture
def gpu_report(monkeypatch: pytest.MonkeyPatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    import gpu_report

    return gpu_report


@pytest.fixture
def report(gpu_report, tmp_path: Path):
    """A report with a minute left."""
    options = argparse.Namespace(minutes=1, parts=["seeds"], data_dir=Path("data"), trial=True)
    return gpu_report.Report(options, tmp_path)


def test_processes_run_side_by_side_and_failures_are_reported(report, capsys: pytest.CaptureFixture) -> None:
    python = (sys.executable, "-c")
    good = [*python, "print('val/acc 97.00%'); print('training 1,234 steps, val/acc 98.50%')"]
    outcomes = report.run({"good": good, "bad": [*python, "raise SystemExit('no such thing')"]})
    assert outcomes["good"].code == 0
    assert outcomes["good"].find(r"val/acc ([\d.]+)%") == 98.5
    assert outcomes["good"].find(r"training ([\d,]+) steps") == 1234
    assert outcomes["good"].find(r"nothing ([\d,]+)") is None
    assert outcomes["bad"].code == 1
    assert "no such thing" in capsys.readouterr().out
    assert report.rows == [("bad", "FAILED with exit code 1")]


def test_a_process_ends_when_the_time_is_up(report) -> None:
    report.options.minutes = 0.01
    outcomes = report.run({"long": [sys.executable, "-c", "import time; time.sleep(60)"]})
    assert outcomes["long"].code is None
    assert outcomes["long"].seconds < 30
    assert report.rows == [("long", "its time was up")]


def test_a_part_that_fails_is_reported_and_the_others_go_on(gpu_report, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"first": lambda report: {}["missing"], "second": lambda report: report.row("second", "3") or {"value": 3}}
    monkeypatch.setattr(gpu_report, "PARTS", parts)
    assert gpu_report.main(["--trial", "--parts", "first,second", "--output", "report.json"]) == 1
    written = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert written["parts"] == {"first": {"error": "KeyError('missing')"}, "second": {"value": 3}}
    assert written["machine"]["torch"] == torch.__version__
    assert written["table"][-1] == ["second", "3"]


TEXT = """training    4,720 steps in 40 s
epoch 80/80  0.5 s  train/loss 0.0101  val/acc 99.40%
without imports 4.5 s
validation  99.10 % (best epoch)
test accuracy 99.00 %
3 passed"""


def test_every_part_reads_what_its_processes_print(gpu_report, report, monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = {"what": "a", "over": "b", "ratio": 1.0, "min": 0.9, "max": 1.1}
    commands: list[list[str]] = []

    def run(own: dict[str, list[str]]) -> dict:
        commands.extend(own.values())
        for command in own.values():
            if "--output" in command:
                file = Path(command[command.index("--output") + 1])
                file.write_text(json.dumps({"ratios": [ratio], "median": 1.5, "seconds": [1.5]}), encoding="utf-8")
        return {name: gpu_report.Outcome(0, 50.0, TEXT) for name in own}

    monkeypatch.setattr(report, "run", run)
    results = {name: part(report) for name, part in gpu_report.PARTS.items()}
    assert results["tests"]["summary"] == "3 passed"
    assert results["goal"]["gpu"]["median"] == 1.5
    assert results["command"]["gpu_mixed"] == {"seconds": 50, "without imports": 4.5, "validation": 99.1, "test": 99}
    assert results["record"] == {"seconds": 50, "steps": 4720, "seconds of training": 40}
    assert results["steps"]["gpu"]["ratios"] == [ratio]
    assert results["seeds"]["128"]["accuracies"] == [99.4] * 3
    assert 2 <= results["seeds"]["epochs"] < 80, "as many as a minute allows"
    assert results["pixels"]["permuted"]["test"] == [99.0] * 5
    assert report.rows[-1][1] == "median 99.00 of [99.0, 99.0, 99.0, 99.0, 99.0] %"
    configs = {command[i + 1] for command in commands for i, part in enumerate(command) if part == "--config"}
    assert all(Path(config).is_file() for config in configs)
    assert {"gpu", "gpu_mixed", "record", "record_gpu", "pixels", "trial"} == {Path(config).stem for config in configs}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--parts", "none"], "--parts none: unknown; choose from tests, goal"),
        (["--output", "there.json"], "--output there.json: exists"),
        ([], "no CUDA GPU"),
    ],
)
def test_bad_input_is_reported_in_one_line(
    gpu_report, args: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("there.json").touch()
    assert gpu_report.main(args) == 2
    err = capsys.readouterr().err
    assert err.startswith("gpu_report: error: ")
    assert message in err


@pytest.mark.slow
def test_a_trial_runs_on_a_cpu(gpu_report, real_mnist: Path) -> None:
    args = ["--trial", "--parts", "goal,record", "--data_dir", str(real_mnist), "--output", "report.json"]
    assert gpu_report.main(args) == 0
    written = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert written["parts"]["record"]["steps"] == 6
