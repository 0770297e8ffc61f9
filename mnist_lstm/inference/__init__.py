"""Classify pictures with trained weights, without Lightning, torchvision, torchmetrics or TensorBoard.

With an ONNX file, also without PyTorch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_lstm.inference.classifier import Classifier, Prediction, load_classifier

__all__ = ["Classifier", "Prediction", "load_classifier"]

THRESHOLD = 0.5  # probability below which a prediction is unsure


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import; `mnist-lstm classify --help` does not need it
    if name in __all__:
        from mnist_lstm.inference import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
