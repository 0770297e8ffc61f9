"""scripts/measure_explain.py: what explain shows, over several digits."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import REPOSITORY

from mnist_lstm.data import datasets
from mnist_lstm.explain.explanation import explain
from mnist_lstm.inference.classifier import load_classifier


@pytest.fixture
def measure_explain(monkeypatch: pytest.MonkeyPatch, archives: Path) -> ModuleType:
    """The script as a module; it finds the tiny MNIST."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    monkeypatch.setenv("MNIST_LSTM_ARCHIVES", str(archives))
    return importlib.import_module("measure_explain")


def test_figures_are_those_of_explain(measure_explain: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_explain.main(["--count", "1"]) == 0
    out = capsys.readouterr().out
    image = torch.tensor(datasets.load_train_and_val("mnist", "data")[1].images[0])
    network = load_classifier().network
    for ending, text in (("cut", "the sequence ends there"), ("blank", "the rest is blank paper")):
        row = explain(network, image, ending=ending).settles_at  # type: ignore[arg-type]
        assert f"settles, if {text}: row {row} ({row} to {row})" in out
    flips = bool(explain(network, image, ending="blank", block=6).flips)
    assert re.search(rf"rows changes the prediction: 1: .*, 6: {100 * flips}%", out)
    assert len(re.findall("rank correlation", out)) == 2


def test_bad_options_are_named(measure_explain: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_explain.main(["--count", "51"]) == 2
    assert measure_explain.main(["--ckpt_path", "no.ckpt"]) == 2
    err = capsys.readouterr().err
    assert "--count 51: must be 1 to 50" in err
    assert "no.ckpt" in err
