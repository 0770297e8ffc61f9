"""Open picture files, and read PIL images as grey levels; files need not be trusted.

A file with more than `MAX_PIXELS` pixels is refused by its header, before anything is decoded. Only the formats in
`FORMATS` are tried, and HEIC and AVIF.
"""

import contextlib
import io
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mnist_lstm.data.idx import MAX_PIXELS
from mnist_lstm.errors import InputError
from mnist_lstm.inference.colour import Levels, to_grey
from mnist_lstm.inference.photos import open_photo, photo_format

Picture = tuple[Levels, Image.Image]
"""The grey levels of a picture and the picture itself, both upright and at most `WORK_SIDE` pixels wide and high."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_WEBP_PIXELS = 16_000_000  # WebP's decoder takes 16 bytes per pixel, four times as much as others
MAX_BYTES = 256 * 2**20  # of a file that is read into memory; 64 megapixels take less, even uncompressed
WORK_SIDE = 1024  # longer side in pixels to which pictures are reduced: a digit that fills a tenth is still 50 high

_TURNS = {  # how to turn a photo upright, by its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_image(file: BinaryIO) -> Image.Image:
    """Open a picture in a seekable file, but do not decode it: `from_image` first checks its size."""
    kind = photo_format(file.read(256))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if kind is not None and size > MAX_BYTES:
        raise too_many_bytes()
    try:
        return Image.open(file, formats=FORMATS) if kind is None else open_photo(file, kind)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"has more than the maximum of {MAX_PIXELS // 10**6} megapixels") from error
    except Exception as error:  # damaged headers raise all kinds of exceptions in the decoders
        if kind is not None:
            raise InputError(f"is a damaged {kind} photo ({reason(error)})") from error
        if not isinstance(error, UnidentifiedImageError):
            raise InputError(f"is not a picture, or is damaged ({reason(error)})") from error
        if not size:
            raise InputError("is an empty file") from error
        known = ", ".join((*FORMATS, "HEIC", "AVIF", "PDF"))
        raise InputError(f"is not a picture in a supported format ({known})") from error


def from_image(image: Image.Image) -> Picture:
    """Read a PIL image of any mode and size, without modifying its pixels; see `Picture`."""
    width, height = image.size
    maximum = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    if width * height > maximum:
        raise too_large(height, width, maximum)
    if not width or not height:
        raise InputError(f"is empty ({width}x{height} pixels)")
    turn = None
    if image.format != "TIFF":  # which Pillow turns itself
        with contextlib.suppress(Exception):  # a picture with damaged EXIF data is still readable
            turn = _TURNS.get(image.getexif().get(274))  # type: ignore[arg-type]
    if image.format in ("JPEG", "MPO"):  # MPO is Pillow's name for several JPEGs in one file, from some phones
        image.draft(None, (WORK_SIDE, WORK_SIDE))  # decode at a reduced size
    image = _reduce_to_work_side(image)
    if turn is not None:
        image = image.transpose(turn)
    return to_grey(image), image


def unreadable(error: OSError | ValueError) -> InputError:
    """Return the error for a file that cannot be opened or read; a null byte in its name is a ValueError."""
    cause = error.strerror if isinstance(error, OSError) else None
    return InputError(f"cannot be read ({cause or error})")


def too_large(height: int, width: int, maximum: int) -> InputError:
    """Return the error for a picture with more than the maximum number of pixels."""
    return InputError(f"has {width}x{height} pixels, more than the maximum of {maximum // 10**6} megapixels")


def too_many_bytes() -> InputError:
    """Return the error for a file that is too large to be read into memory."""
    return InputError(f"is larger than {MAX_BYTES // 2**20} MiB; make it smaller")


def reason(error: Exception) -> str:
    """Return what a decoder says about a damaged picture, shortened."""
    text = str(error) or type(error).__name__
    return text if len(text) < 100 else text[:97] + "..."


def to_unit(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale grey levels to 0..1 from 1, 255 or 65,535: the smallest of these that is no less than their maximum."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # NaN is neither
        raise InputError(f"has values from {low:g} to {high:g}; expected 0 to 1, 0 to 255 or 0 to 65,535")
    return values / np.float32(1 if high <= 1 else 255 if high <= 255 else 65535)


def _reduce_to_work_side(image: Image.Image) -> Image.Image:
    """Reduce to the working size and to one of the modes L, RGB, RGBA and F (0 to 1)."""
    factor = -(-max(image.size) // WORK_SIDE)
    if image.mode.startswith("I") or image.mode == "F":
        # 16 bits: Pillow supports few operations; subsampling a large picture avoids a copy
        values = np.asarray(image)[::factor, ::factor].astype(np.float32)
        return Image.fromarray(to_unit(values))
    if image.mode == "1":
        image = image.convert("L")  # the thin strokes of a scan become grey when reduced, and would have gaps if not
    if image.mode in ("P", "PA") and factor > 1:
        image = image.resize((max(1, image.width // factor), max(1, image.height // factor)), Image.Resampling.NEAREST)
        factor = 1
    transparent = image.has_transparency_data
    # the other modes are reduced before they are converted, which takes less memory
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or (transparent and image.mode in ("L", "RGB")):
        image = image.convert("RGBA" if transparent else "RGB")
    if factor > 1:
        image = _reduce(image, factor)
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if transparent else "RGB")
    return image


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    """Reduce in strips, because Pillow copies the whole of a picture with transparency."""
    width, height = -(-image.width // factor), -(-image.height // factor)
    reduced = Image.new(image.mode, (width, height))
    for top in range(0, height, 64):
        strip = (0, top * factor, image.width, min((top + 64) * factor, image.height))
        reduced.paste(image.crop(strip).reduce(factor), (0, top))
    return reduced
