"""``mnist-lstm export``: write a network as an ONNX file."""

import argparse
import importlib.util
from pathlib import Path

from mnist_lstm.console import printable
from mnist_lstm.errors import InputError
from mnist_lstm.files import find_checkpoint, open_new, refuse_existing

DESCRIPTION = """\
Write a network as one ONNX file, for programs without PyTorch.

Input "images" is uint8 (N, 28, 28), 0 for paper and 255 for ink, digits placed as in MNIST. Output "probabilities" is
float32 (N, 10). Normalisation, deskewing and gradient features are inside. Its metadata have class names, version, and
accuracy if it is known. "mnist-lstm classify PICTURE --ckpt_path FILE.onnx" finds and reads digits with it, and starts
in less time. Needs: pip install 'mnist-lstm[onnx]'. A file that exists is never overwritten.
"""

EPILOG = """\
examples:
  mnist-lstm export digits.onnx
  mnist-lstm export mine.onnx --ckpt_path best
"""

PACKAGES = ("onnx", "onnxscript", "onnxruntime")

MAX_DIFFERENCE = 1e-4
"""Of a probability, between onnxruntime and PyTorch on `DIGITS` images; rounding alone makes about 1e-6."""

DIGITS = 100


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    layout = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(
        "mnist-lstm export", description=DESCRIPTION, epilog=EPILOG, formatter_class=layout, allow_abbrev=False
    )
    add = result.add_argument
    add("file", metavar="FILE.onnx", help="file to write")
    weights = "checkpoint of mnist-lstm fit, or last or best of the newest run; default: the weights of this package"
    add("--ckpt_path", metavar="FILE", help=weights)
    return result


def run(args: list[str]) -> int:
    """Write the file with the arguments after ``export``; return 0.

    Raises:
        InputError: an argument cannot be used, packages are missing, or the file exists.
    """
    options = parser().parse_args(args)
    path = Path(options.file)
    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path}: must end in .onnx, by which classify knows it")
    refuse_existing(path, "FILE.onnx")
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise InputError(f"{', '.join(missing)}: not installed; to export: pip install 'mnist-lstm[onnx]'")
    checkpoint = None if options.ckpt_path is None else find_checkpoint(options.ckpt_path, Path("runs"))

    from mnist_lstm.data.datasets import load_sklearn_digits
    from mnist_lstm.export.build import build_onnx
    from mnist_lstm.inference.classifier import PRETRAINED
    from mnist_lstm.inference.onnx_backend import OnnxBackend
    from mnist_lstm.inference.torch_backend import TorchBackend, read_card

    checkpoint = checkpoint or PRETRAINED
    network = TorchBackend.load(checkpoint)
    data = build_onnx(network, read_card(checkpoint).get("test_acc"))
    images = load_sklearn_digits()[0][:DIGITS]
    difference = float(abs(OnnxBackend(data, str(path))(images) - network(images)).max())
    if not difference <= MAX_DIFFERENCE:
        raise InputError(f"{checkpoint}: onnxruntime's probabilities differ from PyTorch's by {difference:.1e}")
    with open_new(path, "FILE.onnx", binary=True) as file:
        file.write(data)
    print(f"wrote  {printable(str(path))}  ({len(data) / 1e6:.1f} MB)")
    print(f"check  {DIGITS} digits: largest difference of a probability from PyTorch's {difference:.1e}")
    print(f"use    mnist-lstm classify YOUR_PICTURE.png --ckpt_path {printable(str(path))}")
    return 0
