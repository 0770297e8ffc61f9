"""Untrusted checkpoints: valid ones load, others are refused by name, and no code in them runs."""

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command, Evil
from torch import nn

from mnist_lstm.errors import InputError
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.network.checkpoint import OTHER_OPTIONS, read_checkpoint
from mnist_lstm.network.options import NetworkOptions
from mnist_lstm.training.module import DigitClassifier


def checkpoint(**options: Any) -> dict[str, Any]:
    """Return the content of a checkpoint as Lightning writes it."""
    module = DigitClassifier(**{"hidden_size": 8, **options})
    return {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "pytorch-lightning_version": "2.6.6",
        "epoch": 3,
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cell": "gru", "bidirectional": False, "pooling": "avgmax"},
        {"cell": "rnn", "num_layers": 2, "dropout": 0.5},
        {"deskew": True, "scan_order": "columns", "gradient_features": True},
        {"hidden_size": 8, "scan_order": "permuted"},
        {"num_layers": 3, "forget_bias": 2.0, "optimizer": "adam", "weight_decay": 0.1, "label_smoothing": 0.1},
    ],
)
def test_the_loaded_network_equals_the_modules(options: dict[str, Any]) -> None:
    content = checkpoint(**options)
    torch.save(content, "good.ckpt")
    classifier = load_classifier("good.ckpt")
    module = DigitClassifier(**content["hyper_parameters"]).eval()
    module.load_state_dict(content["state_dict"])
    images = torch.randn(5, 28, 28)
    torch.testing.assert_close(classifier.network(images), module(images))
    assert not classifier.network.training


def test_half_precision_and_instantiator_entries_are_accepted() -> None:
    content = checkpoint()
    content["state_dict"] = {name: weight.half() for name, weight in content["state_dict"].items()}
    content["hyper_parameters"]["_instantiator"] = "os.system"
    torch.save(content, "half.ckpt")
    classifier = load_classifier("half.ckpt")
    assert next(classifier.network.parameters()).dtype == torch.float32
    assert len(classifier(np.zeros((3, 40, 40)))) == 3


def test_hyper_parameters_are_the_network_and_training_options() -> None:
    assert set(checkpoint()["hyper_parameters"]) == {option.name for option in fields(NetworkOptions)} | OTHER_OPTIONS


def test_former_option_names_and_values_are_translated() -> None:
    options = {"pooling": "avgmax", "deskew": True, "scan_order": "columns", "gradient_features": True}
    content = checkpoint(**options)
    for former, name in (("readout", "pooling"), ("straighten", "deskew"), ("scan", "scan_order")):
        content["hyper_parameters"][former] = content["hyper_parameters"].pop(name)
    content["hyper_parameters"] |= {"readout": "mean_max", "dataset": "mnist"}
    content["hyper_parameters"]["edges"] = content["hyper_parameters"].pop("gradient_features")
    torch.save(content, "old.ckpt")
    for network in (
        load_classifier("old.ckpt").network,
        DigitClassifier.load_from_checkpoint("old.ckpt", weights_only=True).model,
    ):
        assert {name: getattr(network.options, name) for name in options} == options


def test_missing_options_use_legacy_defaults() -> None:
    content = checkpoint()
    content["hyper_parameters"] = {"hidden_size": 8}
    torch.save(content, "old.ckpt")
    assert load_classifier("old.ckpt").network.options == NetworkOptions(hidden_size=8)
    module = DigitClassifier.load_from_checkpoint("old.ckpt", weights_only=True)
    assert module.model.options == NetworkOptions(hidden_size=8)


BAD_OPTIONS: dict[str, tuple[Any, str]] = {
    "hidden_size": (10**9, "hidden_size 1000000000: .*8192"),
    "num_layers": ("2", "num_layers '2': "),
    "input_size": (True, "input_size True"),
    "num_classes": (0, "num_classes 0"),
    "bidirectional": (1, "bidirectional 1: "),
    "dropout": (float("nan"), "dropout nan"),
    "cell": ("transformer", "cell 'transformer': .*lstm.*gru.*rnn"),
    "pooling": ("all", "pooling 'all'"),
    "deskew": (1.0, "deskew 1.0: "),
    "gradient_features": ("yes", "gradient_features 'yes'"),
    "scan_order": (["rows"] * 1000, "scan_order of type list"),
    "init": ("x" * 1000, "init 'xxx"),
    "forget_bias": (float("inf"), "forget_bias inf"),
    "learning_rate": ([1], "learning_rate of type list"),
    "new_option": (1, "options .*: new_option"),
    "\x1b[31mred": (1, "options .*: \x1b\\[31mred"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_an_invalid_hyper_parameter_is_named(name: str) -> None:
    value, message = BAD_OPTIONS[name]
    content = checkpoint()
    content["hyper_parameters"][name] = value
    torch.save(content, "bad.ckpt")
    with pytest.raises(InputError, match=f"^bad.ckpt: .*{message}") as error:
        load_classifier("bad.ckpt")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": 0.5}, "dropout 0.5: .*layers"),
        ({"scan_order": "pixels", "gradient_features": True}, "gradient_features: .*rows or columns"),
    ],
)
def test_contradicting_hyper_parameters_are_named(options: dict[str, Any], message: str) -> None:
    content = checkpoint()
    content["hyper_parameters"] |= options
    torch.save(content, "bad.ckpt")
    for load in (load_classifier, read_checkpoint):  # fit, test and predict use the second
        with pytest.raises(InputError, match=f"^bad.ckpt: {message}"):
            load(Path("bad.ckpt"))


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[], bytes]:
    def write() -> bytes:
        content = checkpoint()
        replaced = change(content)
        torch.save(content if replaced is None else replaced, "made")
        return Path("made").read_bytes()

    return write


def _weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[], bytes]:
    return _edit(lambda content: (change(content["state_dict"]), None)[1])


def _zip(compression: int) -> bytes:
    torch.save(checkpoint(), "made")
    with zipfile.ZipFile("made") as old, zipfile.ZipFile("packed", "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    return Path("packed").read_bytes()


def _legacy() -> bytes:
    torch.save(checkpoint(), "made", _use_new_zipfile_serialization=False)
    return Path("made").read_bytes()


HEAD = "model.head.weight"
FOREIGN = "weights .*network .*options .*: "
BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is not a checkpoint"),
    "text": (lambda: b"weights", "is not a checkpoint"),
    "evil pickle": (lambda: pickle.dumps(Evil()), "could run code"),
    "evil entry": (_edit(lambda content: content.update(extra=Evil())), "could run code"),
    "evil option": (
        _edit(lambda content: content["hyper_parameters"].update(_instantiator=Evil())),
        "could run code",
    ),
    "whole module": (_edit(lambda content: DigitClassifier(hidden_size=8)), "could run code"),
    "old format": (_legacy, "pickle; .*could run code"),
    "cut short": (lambda: PRETRAINED.read_bytes()[:100_000], "cut short or damaged"),
    "compressed": (lambda: _zip(zipfile.ZIP_DEFLATED), "entries are compressed"),
    "another zip": (lambda: b"PK\5\6" + bytes(18), "cut short or damaged"),
    "state dict alone": (_edit(lambda content: content["state_dict"]), "no state_dict with hyper_parameters"),
    "a list": (_edit(lambda content: [1, 2]), "no state_dict with hyper_parameters"),
    "options in a list": (_edit(lambda content: content.update(hyper_parameters=[])), "is not a dictionary"),
    "options by number": (_edit(lambda content: content.update(hyper_parameters={1: 2})), "is not a dictionary"),
    "weights in a list": (_edit(lambda content: content.update(state_dict=[])), "is not a dictionary"),
    "weights are numbers": (_edit(lambda content: content.update(state_dict={"a": 1})), "holds more than tensors"),
    "weight missing": (_weights(lambda weights: weights.pop(HEAD)), FOREIGN + "head.weight is missing"),
    "weight too many": (_weights(lambda weights: weights.update(a=torch.zeros(1))), FOREIGN + "a is not part of it"),
    "wrong shape": (
        _weights(lambda weights: weights.update({HEAD: torch.zeros(10, 17)})),
        FOREIGN + "head.weight .*10x17 .*10x16",
    ),
    "wrong type": (
        _weights(lambda weights: weights.update({HEAD: torch.zeros(10, 16, dtype=torch.int64)})),
        "head.weight is not a dense tensor of floats",
    ),
    "eight bits": (
        _weights(lambda weights: weights.update({HEAD: torch.zeros(10, 16, dtype=torch.float8_e4m3fn)})),
        "head.weight is not a dense tensor of floats",
    ),
    "too large for float32": (
        _weights(lambda weights: weights.update({HEAD: torch.full((10, 16), 1e300, dtype=torch.float64)})),
        "head.weight holds values that are not finite",
    ),
    "sparse": (
        _weights(lambda weights: weights.update({HEAD: torch.zeros(10, 16).to_sparse()})),
        "",
    ),
    "repeated": (
        _weights(lambda weights: weights.update({HEAD: torch.zeros(1).expand(10, 16)})),
        "head.weight repeats",
    ),
    "not a number": (
        _weights(lambda weights: weights.update({HEAD: torch.full((10, 16), torch.nan)})),
        "head.weight holds values that are not finite",
    ),
    "options of another network": (
        _edit(lambda content: content["hyper_parameters"].update(hidden_size=8192, num_layers=64)),
        FOREIGN,
    ),
    "another row": (lambda: _other(input_size=8), "8 pixels per row .*10 classes"),
    "other classes": (lambda: _other(num_classes=26), "28 pixels per row .*26 classes"),
    "another project": (
        _edit(lambda content: {"state_dict": nn.Linear(784, 10).state_dict(), "hyper_parameters": {"lr": 0.1}}),
        "options .*: lr",
    ),
}


def _other(**options: int) -> bytes:
    torch.save(checkpoint(**options), "made")
    return Path("made").read_bytes()


@pytest.mark.parametrize("name", BAD_FILES)
def test_an_invalid_checkpoint_is_named_and_never_runs_code(command: Command, name: str) -> None:
    write, message = BAD_FILES[name]
    Path("bad.ckpt").write_bytes(write())
    with pytest.raises(InputError, match=f"^bad.ckpt: .*{message}") as error:
        load_classifier("bad.ckpt")
    code, out, err = command("classify", "seven.png", "--ckpt_path", "bad.ckpt")
    assert (code, out) == (2, "")
    assert err == f"mnist-lstm: error: {error.value}\n"
    assert not Path("it ran").exists()


@pytest.mark.parametrize("path", ["missing.ckpt", "."])
def test_a_missing_file_or_a_folder_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path}: no such"):
        read_checkpoint(Path(path))
