"""Read what a Python caller passes: arrays, tensors, and iterables of these, of paths and of PIL images."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import numpy.typing as npt
from PIL import Image

from mnist_lstm.data.format import SIZE
from mnist_lstm.data.idx import MAX_PIXELS
from mnist_lstm.errors import InputError
from mnist_lstm.inference.pages import read_picture
from mnist_lstm.inference.read import WORK_SIDE, Picture, from_image, to_unit, too_large

if TYPE_CHECKING:
    from torch import Tensor

FLAT = SIZE * SIZE  # values of an image in MNIST's size, as one row


def as_pictures(images: Any) -> tuple[Iterator[Any], bool]:
    """Split the argument of `Classifier.__call__` into pictures; also return whether only one was passed."""
    if _is_tensor(images):
        array = _to_numpy(images)
    elif isinstance(images, np.ndarray):
        array = images
    elif isinstance(images, (str, Path, Image.Image)):
        return iter([images]), True
    elif isinstance(images, (bytes, bytearray, dict)) or not hasattr(images, "__iter__"):
        raise _not_a_picture(images)
    else:
        return iter(images), False
    if channels_first(array.shape):
        array = np.moveaxis(array, 1, -1)  # (N, C, H, W) to (N, H, W, C)
    if array.ndim == 2 and array.shape[1] == FLAT and len(array) > 1:
        raise InputError(
            f"array of shape {by(array.shape)}: pass array.reshape(-1, {SIZE}, {SIZE}) if it holds {len(array):,} "
            f"images of {SIZE}x{SIZE}, or [array] if it is one picture, {FLAT} pixels wide"
        )
    coloured = array.ndim == 3 and array.shape[2] in (1, 3, 4) and not _is_tensor(images)
    if array.ndim == 2 or array.shape == (FLAT,) or coloured:
        return iter([array]), True
    if array.ndim not in (3, 4):
        raise InputError(f"array of shape {by(array.shape)}: expected (height, width) or (N, height, width)")
    return iter(array), False


def read_any(picture: Any) -> Picture:
    """Read one path, PIL image, array or tensor; see `Picture`."""
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return from_image(picture.copy())
    if _is_tensor(picture):
        picture = _to_numpy(picture)
        if picture.ndim == 3 and picture.shape[0] in (1, 3, 4):
            picture = np.moveaxis(picture, 0, -1)
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    raise _not_a_picture(picture)


def from_array(array: npt.NDArray[Any]) -> Picture:
    """Read one picture in an array; see `Picture`.

    The array is ``(height, width)``, or ``(height, width, C)`` with C = 1 (grey), 3 (RGB) or 4 (RGBA), or a flat image
    of 28x28, ``(784,)`` or ``(1, 784)``. Values are bool, integers up to 255 or 65,535, or floats from 0 to 1 or to
    255. The maximum decides which range it is.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.shape in ((FLAT,), (1, FLAT)):
        array = array.reshape(SIZE, SIZE)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"has shape {by(array.shape)}; expected (height, width) or (height, width, 3 or 4)")
    if not array.size:
        raise InputError(f"is empty (shape {by(array.shape)})")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise too_large(array.shape[0], array.shape[1], MAX_PIXELS)
    if array.dtype == bool or (array.dtype == np.uint8 and array.max() == 1):
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8:
        return from_image(Image.fromarray(array))
    if array.dtype.kind not in "iuf":
        raise InputError(f"has dtype {array.dtype}; expected bool, integers or floats")
    step = -(-max(array.shape[:2]) // (2 * WORK_SIDE))
    unit = to_unit(array[::step, ::step].astype(np.float32))
    # round, so that an MNIST image divided by 255 becomes the same MNIST image again
    rounded = array.ndim == 3 or array.shape == (SIZE, SIZE)
    return from_image(Image.fromarray(np.rint(unit * 255).astype(np.uint8) if rounded else unit))


def read_mnist_sized(images: Any) -> npt.NDArray[np.uint8] | None:
    """Read an array or tensor ``(N, 28, 28)`` or ``(N, 1, 28, 28)`` at once, as `from_array` reads each picture.

    Returns a uint8 array ``(N, 28, 28)``; None for anything else, or if a value is out of range.
    """
    array = _to_numpy(images) if _is_tensor(images) else images
    if not isinstance(array, np.ndarray) or not array.size or array.dtype.kind not in "buif":
        return None
    if array.shape[1:] not in ((SIZE, SIZE), (1, SIZE, SIZE)):
        return None
    array = array.reshape(-1, SIZE, SIZE)
    if array.dtype == np.uint8 and array.max(axis=(1, 2)).min() > 1:
        return array
    values = array.astype(np.float32)
    highest = values.max(axis=(1, 2), keepdims=True)  # (N, 1, 1), NaN where any value is
    if not (values.min() >= 0 and highest.max() <= 65535):
        return None
    scale = np.select([highest <= 1, highest <= 255], [np.float32(1), np.float32(255)], np.float32(65535))
    levels: npt.NDArray[np.uint8] = np.rint(values / scale * 255).astype(np.uint8)
    return levels


def channels_first(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is ``(N, C, height, width)`` and cannot be ``(N, height, width, C)``."""
    return len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4)


def by(shape: tuple[int, ...]) -> str:
    """Format a shape for a message, such as 60000x28x28."""
    return "x".join(map(str, shape)) or "()"


def _is_tensor(thing: Any) -> "TypeGuard[Tensor]":
    # whoever has a tensor has imported PyTorch; for others this would take a second
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def _to_numpy(tensor: "Tensor") -> npt.NDArray[Any]:
    tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor  # NumPy has no bfloat16
    try:
        result: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:  # sparse, without data, quantised
        raise InputError(f"a tensor of layout {tensor.layout} on device {tensor.device} is not a picture") from error
    return result


def _not_a_picture(thing: Any) -> InputError:
    return InputError(f"a {type(thing).__name__} is not a picture; expected a path, PIL image, array or tensor")
