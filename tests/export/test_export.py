"""ONNX files: the same answers as PyTorch for every network, read without PyTorch, and refused if they are not ours."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import REPOSITORY, Command, fail, succeed, to_idx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from mnist_lstm.data import mnist_files
from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.errors import InputError
from mnist_lstm.export.build import build_onnx
from mnist_lstm.inference import load_classifier
from mnist_lstm.inference import onnx_backend as reader
from mnist_lstm.inference.classifier import PRETRAINED
from mnist_lstm.inference.onnx_backend import OnnxBackend
from mnist_lstm.inference.torch_backend import TorchBackend
from mnist_lstm.network.model import RowLSTM
from mnist_lstm.network.scan_order import permutation

CARD = json.loads(PRETRAINED.with_name("card.json").read_text(encoding="utf-8"))

FOUR = REPOSITORY / ".github" / "four.png"

OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "pooling": "avgmax", "deskew": True, "gradient_features": True},
    {"bidirectional": False, "scan_order": "permuted"},
    {"cell": "gru", "num_layers": 2, "pooling": "avgmax", "scan_order": "columns", "gradient_features": True},
    {"cell": "gru", "bidirectional": False, "num_layers": 2, "deskew": True},
    {"cell": "rnn", "num_layers": 3},
    {"cell": "rnn", "bidirectional": False, "pooling": "avgmax", "scan_order": "pixels", "deskew": True},
]
"""Networks: together they have every value of every option that matters for reading."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's weights as an ONNX file, written by the command."""
    path = tmp_path_factory.mktemp("export") / "digits.onnx"
    program = [sys.executable, "-m", "mnist_lstm", "export", path]
    done = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"wrote  {path}  (3.2 MB)\n" in done.stdout
    return path


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(map(str, options.values())) or "defaults")
def test_answers_are_those_of_pytorch(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = RowLSTM(hidden_size=8, **options).requires_grad_(False)
    network.head.weight.mul_(20)  # untrained networks answer nearly the same for every image
    ours = TorchBackend(network, temperature=1.5)
    theirs = OnnxBackend(build_onnx(ours), "file.onnx")
    images = load_sklearn_digits()[0][:50]
    expected = ours(images)
    assert expected.std(axis=0).max() > 0.05
    for size in (1, 7, 50):
        parts = [theirs(images[start : start + size]) for start in range(0, 50, size)]
        np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=1e-5)


def test_the_sets_of_options_have_every_value() -> None:
    for name, values in {
        "cell": {"lstm", "gru", "rnn"},
        "bidirectional": {True, False},
        "pooling": {"final", "avgmax"},
        "deskew": {True, False},
        "gradient_features": {True, False},
        "scan_order": {"rows", "columns", "pixels", "permuted"},
    }.items():
        assert {getattr(RowLSTM(**options).options, name) for options in OPTIONS} == values


def test_exporting_leaves_the_network_and_its_scan_order_usable() -> None:
    # what is kept from an export, such as the permutation, must hold numbers
    network = RowLSTM(hidden_size=2, scan_order="permuted")
    ours = TorchBackend(network)
    images = load_sklearn_digits()[0][:2]
    before = ours(images)
    permutation.cache_clear()  # as in a process that has not read an image yet
    build_onnx(ours)
    np.testing.assert_array_equal(ours(images), before)


def test_file_says_what_it_is(exported: Path) -> None:
    data = exported.read_bytes()
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "version": version("mnist-lstm"),
        "class_names": '["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]',
        "temperature": "1.0",
        "threshold": "0.5",
        "test_acc": str(CARD["test_acc"]),
    }
    assert (model.producer_name, model.producer_version) == ("mnist-lstm", version("mnist-lstm"))
    for secret in (str(REPOSITORY), "stack_trace", ".py"):
        assert secret.encode() not in data, "a path of this machine"
    assert [opset.domain for opset in model.opset_import] == [""]


def test_file_is_never_overwritten(command: Command, exported: Path) -> None:
    mine = Path("mine.onnx")
    mine.write_text("mine")
    assert "FILE.onnx mine.onnx: exists already" in fail(command, "export", mine)
    assert mine.read_text() == "mine"
    assert "must end in .onnx" in fail(command, "export", "digits.bin")
    assert "no such file" in fail(command, "export", "new.onnx", "--ckpt_path", "missing.ckpt")
    assert not Path("new.onnx").exists()


def test_temperature_and_accuracy_come_from_the_card(command: Command) -> None:
    network = RowLSTM(hidden_size=2)
    state = {f"model.{name}": weight for name, weight in network.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"hidden_size": 2}}, "small.ckpt")
    Path("card.json").write_text('{"weights": "small.ckpt", "temperature": 2, "test_acc": 0.5}')
    out, _ = succeed(command, "export", "small.onnx", "--ckpt_path", "small.ckpt")
    assert "100 digits: largest difference" in out
    classifier = load_classifier("small.onnx")
    images = load_sklearn_digits()[0][:5]
    np.testing.assert_allclose(classifier.probabilities(images), TorchBackend(network, 2.0)(images), rtol=0, atol=1e-6)
    assert classifier.temperature == 2
    assert onnx.load("small.onnx").metadata_props[-1].value == "0.5"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_export_without_its_packages_says_what_to_install(
    package: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = f"{package}: not installed; to export: pip install 'mnist-lstm[onnx]'"
    assert fail(command, "export", "new.onnx") == f"mnist-lstm: error: {message}\n"
    assert not Path("new.onnx").exists()


def test_classify_without_onnxruntime_says_what_to_install(
    command: Command, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    err = fail(command, "classify", FOUR, "--ckpt_path", exported)
    assert err.endswith("digits.onnx: to read an ONNX file: pip install 'mnist-lstm[onnx]'\n")


def test_classify_reads_every_kind_of_picture_without_pytorch(exported: Path) -> None:
    digits = load_sklearn_digits()[0][:5]
    np.save("digits.npy", digits)
    Path("digits.idx").write_bytes(to_idx(digits))
    Image.fromarray(np.hstack(digits[1:4])).save("row.png")
    Image.fromarray(digits[0]).save("pages.tif", save_all=True, append_images=[Image.fromarray(digits[1])])
    pictures = [str(FOUR), "digits.npy", "digits.idx", "row.png", "pages.tif"]
    code = (
        "import sys; from mnist_lstm.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'lightning', 'torchvision', 'onnx', 'onnxruntime'} & sys.modules.keys()))"
    )
    options = ["classify", *pictures, "--split", "--format", "json"]
    program = [sys.executable, "-c", code, *options, "--show", "seen", "--ckpt_path", str(exported)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    *lines, end = done.stdout.splitlines()
    assert end == "0 ['onnxruntime']", done.stderr
    assert done.stderr == ""
    assert len(lines) == len(list(Path("seen").iterdir())) == 14
    plain = subprocess.run([sys.executable, "-m", "mnist_lstm", *options], capture_output=True, text=True, check=True)
    for line, other in zip(lines, plain.stdout.splitlines(), strict=True):
        ours, theirs = json.loads(line), json.loads(other)
        np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], rtol=0, atol=1e-5)
        for name in ("file", "index", "digit", "status", "message"):
            assert ours[name] == theirs[name]


def test_from_python_arrays_and_tensors_are_read(exported: Path) -> None:
    classifier = load_classifier(exported)
    images = load_sklearn_digits()[0][:300]
    answers = [prediction.digit for prediction in load_classifier()(images)]
    assert [prediction.digit for prediction in classifier(images)] == answers
    assert [prediction.digit for prediction in classifier(torch.tensor(images))] == answers
    assert classifier.probabilities(images[:0]).shape == (0, 10)


def test_more_pictures_are_read_with_more_threads(
    command: Command, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = set()
    run = OnnxBackend.__call__

    def watched(self: OnnxBackend, images: np.ndarray) -> np.ndarray:
        used.add(self.threads)
        return run(self, images)

    monkeypatch.setattr(reader.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(OnnxBackend, "__call__", watched)
    np.save("digits.npy", load_sklearn_digits()[0][:300])
    succeed(command, "classify", "digits.npy", "--limit", "3", "--ckpt_path", exported)
    assert used == {1}
    succeed(command, "classify", "digits.npy", "--ckpt_path", exported)
    assert used == {1, 2}


def test_backend_overrides_the_ending(command: Command, exported: Path) -> None:
    Path("digits.bin").write_bytes(exported.read_bytes())
    out, _ = succeed(command, "classify", FOUR, "--ckpt_path", "digits.bin", "--backend", "onnx")
    assert out == succeed(command, "classify", FOUR)[0]
    assert "digits.bin: is not a checkpoint" in fail(command, "classify", FOUR, "--ckpt_path", "digits.bin")
    assert "is not a checkpoint" in fail(command, "classify", FOUR, "--ckpt_path", exported, "--backend", "torch")
    assert "mnist-lstm export FILE.onnx makes one" in fail(command, "classify", FOUR, "--backend", "onnx")


@pytest.mark.parametrize("name", ["explain", "page"])
def test_commands_that_look_inside_ask_for_the_checkpoint(name: str, command: Command, exported: Path) -> None:
    pictures = [FOUR] if name == "explain" else []
    assert "digits.onnx: an ONNX file has answers only" in fail(command, name, *pictures, "--ckpt_path", exported)


def refuse(data: bytes, reason: str) -> None:
    Path("x.onnx").write_bytes(data)
    with pytest.raises(InputError, match=rf"^x\.onnx: .*{reason}"):
        load_classifier("x.onnx").probabilities(np.zeros((2, 28, 28), np.uint8))


def _rename_producer(model: onnx.ModelProto) -> None:
    model.producer_name = "pytorch"


def _read_floats(model: onnx.ModelProto) -> None:
    (cast,) = (node for node in model.graph.node if node.op_type == "Cast" and node.input[0] == "images")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    assert cast.output


def _drop_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _name_letters(model: onnx.ModelProto) -> None:
    (entry,) = (entry for entry in model.metadata_props if entry.key == "class_names")
    entry.value = json.dumps(list("abcdefghij"))


def _turn_temperature_around(model: onnx.ModelProto) -> None:
    (entry,) = (entry for entry in model.metadata_props if entry.key == "temperature")
    entry.value = "-1"


def _leave_softmax_out(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Identity"
    del model.graph.node[-1].attribute[:]


def _answer_nan(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Log"
    del model.graph.node[-1].attribute[:]


def _use_foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "evil"
    model.opset_import.append(helper.make_opsetid("evil", 1))


def _use_microsofts_operator(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _point_outside(model: onnx.ModelProto) -> None:
    weight = next(each for each in model.graph.initializer if len(each.raw_data) > 1000)
    Path("outside").write_bytes(weight.raw_data)
    onnx.external_data_helper.set_external_data(weight, location="outside")
    weight.ClearField("raw_data")


CHANGES: dict[Callable[[onnx.ModelProto], None], str] = {
    _rename_producer: "is not an ONNX file of mnist-lstm export: another program has written it",
    _read_floats: "does not turn uint8 images",
    _drop_metadata: "its metadata lack class names",
    _name_letters: "its metadata name other classes",
    _turn_temperature_around: "a temperature that is none",
    _leave_softmax_out: "its answers are not probabilities",
    _answer_nan: "its answers are not probabilities",
    _use_foreign_operator: "is not an ONNX file that onnxruntime can run",
    _use_microsofts_operator: "has operators that are not ONNX's own, and is refused",
    _point_outside: "asks for another file, and is refused",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__[1:])
def test_changed_files_are_refused(change: Callable[[onnx.ModelProto], None], exported: Path) -> None:
    model = onnx.load(exported)
    change(model)
    refuse(model.SerializeToString(), CHANGES[change])


def test_other_programs_models_are_refused() -> None:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 28, 28])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [3])
    answer = numpy_helper.from_array(np.ones(3, np.float32), "answer")
    nodes = [helper.make_node("Identity", ["answer"], ["probabilities"])]
    graph = helper.make_graph(nodes, "other", [images], [output], [answer])
    model = helper.make_model(graph, producer_name="mnist-lstm", opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    refuse(model.SerializeToString(), r"does not turn uint8 images \(N, 28, 28\) into probabilities")


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x08\x0a" * 20, b"not a model", PRETRAINED.read_bytes()[:5000]])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    refuse(data, "is not an ONNX file")


def test_files_cut_short_and_damaged_are_refused_or_read(exported: Path) -> None:
    whole = exported.read_bytes()
    for length in (10, 1000, len(whole) // 2, len(whole) - 1):
        refuse(whole[:length], "is not an ONNX file")
    random = np.random.default_rng(0)
    for _ in range(20):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 3000):
            data[place] = random.integers(256)
        Path("x.onnx").write_bytes(data)
        with contextlib.suppress(InputError):
            load_classifier("x.onnx").probabilities(np.zeros((2, 28, 28), np.uint8))


def test_large_files_are_not_read(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match=r"has 3,\d+,\d+ bytes; at most 1,000 are read"):
        load_classifier(exported)
    with pytest.raises(InputError, match="cannot be read"):
        load_classifier("missing.onnx")


@pytest.mark.slow
def test_answers_on_mnist_are_those_of_pytorch(exported: Path, real_mnist: Path) -> None:
    images, labels = mnist_files.load(real_mnist, mnist_files.TEST)
    ours, theirs = TorchBackend.load(PRETRAINED), OnnxBackend.load(exported)
    for size in (1, 7, 250):
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        expected, found = (np.concatenate([backend(part) for part in parts]) for backend in (ours, theirs))
        print(f"batches of {size}: largest difference {abs(expected - found).max():.1e}")
        np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert abs((found.argmax(axis=1) == labels).mean() - CARD["test_acc"]) <= 0.0002
