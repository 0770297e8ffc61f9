"""Classifying with trained weights; nothing in here imports Lightning, torchvision, torchmetrics or TensorBoard."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_lstm.inference.classify import Classifier, Prediction, load_classifier

__all__ = ["Classifier", "Prediction", "load_classifier"]

THRESHOLD = 0.5
"""Probability below which a digit is a guess."""


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import: `mnist-lstm classify --help` must do without it
    if name in __all__:
        from mnist_lstm.inference import classify

        return getattr(classify, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
