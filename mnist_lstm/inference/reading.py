"""Pictures from files, PIL images, arrays and tensors, as grey levels; files may come from anyone.

A file is refused by its header, before anything is decoded, if it has more than `MAX_PIXELS` pixels; only the formats
in `FORMATS` are tried; of an animation the first frame is taken.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from mnist_lstm.errors import InputError
from mnist_lstm.idx import MAX_PIXELS
from mnist_lstm.mnist_format import SIZE

Levels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""Grey levels ``(height, width)``: uint8 from 0 (black) to 255 (white), or float32 from 0 to 1."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
"""What a folder is searched for; a file that is named itself may have any name."""

MAX_WEBP_PIXELS = 16_000_000
"""Most pixels of a WebP picture, whose decoder takes 16 bytes of memory a pixel, four times as much as others."""

MAX_BYTES = 256 * 2**20
"""Most bytes of a picture's file, which is more than 64 megapixels take uncompressed."""

WORK_SIDE = 512
"""Pictures are reduced to this many pixels on the longer side: a digit that fills a tenth of it is still 50 high."""


def read_picture(file: str | Path | BinaryIO) -> tuple[Levels, Image.Image]:
    """Read a picture from a file.

    Args:
        file: path, or a binary file that is open for reading; of a pipe, what it yields is kept in memory.

    Returns:
        Its grey levels and the picture itself, both upright and at most `WORK_SIDE` pixels on the longer side.

    Raises:
        InputError: it cannot be read, is no picture, is damaged or too large. The message does not name the file.
    """
    try:
        if isinstance(file, (str, Path)):
            with open(file, "rb") as opened:  # noqa: PTH123 - half as long as Path.open, for thousands of files
                return _decode(opened)
        if file.seekable():
            return _decode(file)
        data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"has more than {MAX_BYTES // 2**20} MiB; make it smaller")
        return _decode(io.BytesIO(data))
    except (OSError, ValueError) as error:  # a ValueError is what a name with a zero byte meets
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"cannot be read ({reason or error})") from error


def _decode(file: BinaryIO) -> tuple[Levels, Image.Image]:
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise InputError(f"has more than the {MAX_PIXELS // 10**6} megapixels that are read") from error
    except UnidentifiedImageError as error:
        if file.seek(0, io.SEEK_END) == 0:
            raise InputError("is an empty file") from error
        raise InputError(f"is no picture that can be read; save it as one of {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged header meets all kinds of errors in the decoders
        raise InputError(f"is no picture, or it is damaged ({_reason(error)})") from error
    try:
        return from_image(image)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"is a damaged {image.format} picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) < 100 else text[:97] + "..."


def from_image(image: Image.Image) -> tuple[Levels, Image.Image]:
    """Take the grey levels of a PIL image.

    Args:
        image: of any mode and size; it is left as it is.

    Returns:
        As `read_picture`.

    Raises:
        InputError: it has no pixels or too many.
    """
    width, height = image.size
    most = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if width * height > most:
        raise InputError(_too_large(height, width, most))
    if not width or not height:
        raise InputError(f"has {width}x{height} pixels: there is nothing in it")
    if image.mode == "L" and width <= WORK_SIDE and height <= WORK_SIDE and not image.has_transparency_data:
        turn = _orientation(image)
        image = image.transpose(turn) if turn is not None else image
        return np.asarray(image), image  # uint8 (H, W), as it is
    turn = _orientation(image)
    if image.format in ("JPEG", "MPO"):  # some phones put several JPEGs into one file, which Pillow calls MPO
        image.draft(None, (WORK_SIDE, WORK_SIDE))  # decodes only as much as is needed
    image = _small(image)
    if turn is not None:
        image = image.transpose(turn)
    return _grey(image), image


def _too_large(height: int, width: int, most: int) -> str:
    return f"has {width}x{height} pixels, more than the {most // 10**6} megapixels that are read; make it smaller"


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Tell how to turn a photo that the camera has stored as the sensor lay (EXIF tag 274)."""
    try:
        value = image.getexif().get(274)
    except Exception:  # damaged EXIF data do not make the picture unreadable
        return None
    method = Image.Transpose
    return {
        2: method.FLIP_LEFT_RIGHT,
        3: method.ROTATE_180,
        4: method.FLIP_TOP_BOTTOM,
        5: method.TRANSPOSE,
        6: method.ROTATE_270,
        7: method.TRANSVERSE,
        8: method.ROTATE_90,
    }.get(value)  # type: ignore[arg-type]


def _small(image: Image.Image) -> Image.Image:
    """Reduce to the working size, and to one of the modes L, RGB, RGBA and F (0 to 1)."""
    factor = -(-max(image.size) // WORK_SIDE)
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bits: few picture operations know them, and a large picture is thinned out rather than copied
        values = np.asarray(image)[::factor, ::factor].astype(np.float32)
        return Image.fromarray(_to_unit(values))
    palette = image.mode in ("1", "P", "PA")
    if palette and factor > 1:
        image = image.resize((max(1, image.width // factor), max(1, image.height // factor)), Image.Resampling.NEAREST)
        factor = 1
    clear = image.has_transparency_data
    # a picture whose pixels are grey or black and white stays one; reducing first keeps the memory low
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or (clear and image.mode in ("L", "RGB")):
        image = image.convert("RGBA" if clear else "L" if image.mode == "1" else "RGB")
    if factor > 1:
        image = _reduce(image, factor)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if clear else "RGB")
    return image


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    """Reduce in strips: Pillow copies a picture with transparency as a whole to do so."""
    width, height = -(-image.width // factor), -(-image.height // factor)
    reduced = Image.new(image.mode, (width, height))
    for top in range(0, height, 64):
        strip = (0, top * factor, image.width, min((top + 64) * factor, image.height))
        reduced.paste(image.crop(strip).reduce(factor), (0, top))
    return reduced


def _grey(image: Image.Image) -> Levels:
    """Turn a small picture of mode L, RGB, RGBA or F into grey levels in which the ink stands out."""
    if image.mode in ("L", "F"):
        return np.asarray(image)
    if image.mode == "RGBA":
        image = _on_paper(image)
    pixels = np.asarray(image)  # uint8 (H, W, 3)
    luminance = np.asarray(image.convert("L"))
    best, contrast = luminance, 1.4 * _contrast(luminance)
    # yellow on white, or red on green, shows in one channel and hardly in the luminance
    for channel in np.moveaxis(pixels, -1, 0):
        if _contrast(channel) > contrast:
            best, contrast = channel, _contrast(channel)
    return best


def _contrast(levels: npt.NDArray[np.uint8]) -> float:
    low, high = np.percentile(levels, (0.5, 99.5))
    return float(high - low)


def _on_paper(image: Image.Image) -> Image.Image:
    """Lay a picture with transparent places on a ground on which its ink shows."""
    alpha = np.asarray(image.getchannel("A"))
    if alpha.min() == 255:
        return image.convert("RGB")
    luminance = np.asarray(image.convert("RGB").convert("L"))
    opaque = luminance[alpha > 127]
    if opaque.size > 0.3 * alpha.size and np.subtract(*np.percentile(opaque, (95, 5))) > 64:
        ground = int(np.median(opaque))  # it brings its own paper, such as a sticker with round corners
    else:
        ground = 255 if not opaque.size or opaque.mean() < 128 else 0
    paper = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    paper.alpha_composite(image)
    return paper.convert("RGB")


def from_array(array: npt.NDArray[Any]) -> tuple[Levels, Image.Image]:
    """Take the grey levels of one picture in an array.

    Args:
        array: ``(height, width)``, or ``(height, width, channels)`` with 1 (grey), 3 (RGB) or 4 (RGBA) channels; bool,
            whole numbers up to 255 or 65,535, or floats from 0 to 1 or to 255; which of these is told by the largest.

    Returns:
        As `read_picture`.

    Raises:
        InputError: shape, type or values are none of these.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(
            f"has the shape {_by(array.shape)}; a picture is (height, width), or (height, width, 3 or 4) in colour"
        )
    if not array.size:
        raise InputError(f"has the shape {_by(array.shape)}: there is nothing in it")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise InputError(_too_large(array.shape[0], array.shape[1], MAX_PIXELS))
    if array.dtype == np.uint8 and array.max() == 1:
        array = array.astype(bool)  # zeros and ones
    if array.dtype == np.uint8:
        return from_image(Image.fromarray(np.ascontiguousarray(array)))
    if array.dtype == bool:
        return from_image(Image.fromarray(array.astype(np.uint8) * 255))
    if array.dtype.kind not in "iuf":
        raise InputError(f"holds values of the type {array.dtype}; a picture holds numbers")
    step = -(-max(array.shape[:2]) // (2 * WORK_SIDE))
    unit = _to_unit(array[::step, ::step].astype(np.float32))
    if array.ndim == 3 or array.shape == (SIZE, SIZE):
        # rounded, so that an MNIST image divided by 255 is that MNIST image
        return from_image(Image.fromarray(np.rint(unit * 255).astype(np.uint8)))
    return from_image(Image.fromarray(unit))


def mnist_sized(images: Any) -> npt.NDArray[np.uint8] | None:
    """Take many pictures of 28x28 pixels in one array or tensor at once, as `from_array` takes them one by one.

    Args:
        images: array or tensor ``(N, 28, 28)`` or ``(N, 1, 28, 28)``, or anything else.

    Returns:
        uint8 array ``(N, 28, 28)``; None for anything else, and where a value is none that pictures have.
    """
    if not isinstance(images, (np.ndarray, torch.Tensor)):
        return None
    shape = tuple(images.shape)
    if shape[1:] not in ((SIZE, SIZE), (1, SIZE, SIZE)) or not shape[0]:
        return None
    array = (_numpy(images) if isinstance(images, torch.Tensor) else images).reshape(-1, SIZE, SIZE)
    if array.dtype.kind not in "buif":
        return None
    if array.dtype == np.uint8 and array.max(axis=(1, 2)).min() > 1:
        return array
    values = array.astype(np.float32)
    highest = values.max(axis=(1, 2), keepdims=True)  # (N, 1, 1), not a number where any value is none
    if not (values.min() >= 0 and highest.max() <= 65535):
        return None
    largest = np.select([highest <= 1, highest <= 255], [np.float32(1), np.float32(255)], np.float32(65535))
    levels: npt.NDArray[np.uint8] = np.rint(values / largest * 255).astype(np.uint8)
    return levels


def _to_unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Bring numbers to 0..1: they are taken for levels up to 1, 255 or 65,535, whichever the largest fits in."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # not a number is neither
        raise InputError(f"holds values from {low:g} to {high:g}; grey levels lie in 0 to 1, 0 to 255 or 0 to 65,535")
    return values / np.float32(1 if high <= 1 else 255 if high <= 255 else 65535)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def pictures_in(images: Any) -> tuple[Iterator[Any], bool]:
    """Take what a user may hand over apart into single pictures.

    Args:
        images: see `mnist_lstm.inference.Classifier.__call__`.

    Returns:
        The pictures, each a path, PIL image or array; and whether it was a single one.

    Raises:
        InputError: it is nothing of that kind.
    """
    if isinstance(images, torch.Tensor):
        array = _numpy(images)
    elif isinstance(images, np.ndarray):
        array = images
    elif isinstance(images, (str, Path, Image.Image)):
        return iter([images]), True
    elif isinstance(images, (bytes, bytearray, dict)) or not hasattr(images, "__iter__"):
        raise InputError(f"a {type(images).__name__} is no picture: give paths, PIL images, arrays or tensors")
    else:
        return iter(images), False
    if array.ndim == 4 and array.shape[1] in (1, 3, 4) and array.shape[3] not in (1, 3, 4):
        array = np.moveaxis(array, 1, -1)  # (N, C, H, W) to (N, H, W, C)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4) and not isinstance(images, torch.Tensor)):
        return iter([array]), True
    if array.ndim not in (3, 4):
        raise InputError(f"an array of the shape {_by(array.shape)} holds no pictures: give (N, height, width)")
    return iter(array), False


def _numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    # NumPy has no bfloat16
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    try:
        result: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:  # sparse, without data, quantised
        raise InputError(f"a tensor of the layout {tensor.layout} on {tensor.device} holds no picture") from error
    return result


def read_any(picture: Any) -> tuple[Levels, Image.Image]:
    """Take the grey levels of one path, PIL image, array or tensor.

    Raises:
        InputError: it is none of these, or cannot be read.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return from_image(picture.copy())
    if isinstance(picture, torch.Tensor):
        picture = _numpy(picture)
        if picture.ndim == 3 and picture.shape[0] in (1, 3, 4):
            picture = np.moveaxis(picture, 0, -1)
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    raise InputError(f"a {type(picture).__name__} is no picture: give a path, PIL image, array or tensor")
