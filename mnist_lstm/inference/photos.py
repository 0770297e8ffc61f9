"""Open HEIC and AVIF photos, with packages of the extra ``photos``; nothing is imported before it is needed."""

from typing import BinaryIO, Literal

from PIL import Image, features

from mnist_lstm.errors import InputError

AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
CONTAINER_BRANDS = {b"mif1", b"mif2", b"msf1"}  # of either; the compatible brands say which


def photo_format(head: bytes) -> Literal["HEIC", "AVIF"] | None:
    """Return the format of a photo by the brands in its ``ftyp`` box, at its start; None if it is neither."""
    if head[4:8] != b"ftyp":
        return None
    box = head[8 : int.from_bytes(head[:4], "big")]
    major, compatible = box[:4], {box[at : at + 4] for at in range(8, len(box), 4)}
    if major in AVIF_BRANDS or (major in CONTAINER_BRANDS and compatible & AVIF_BRANDS):
        return "AVIF"
    return "HEIC" if major in HEIC_BRANDS | CONTAINER_BRANDS else None


def open_photo(file: BinaryIO, kind: Literal["HEIC", "AVIF"]) -> Image.Image:
    """Open a photo, but do not decode it: its size must be checked first. All of the file is read into memory.

    The format has an orientation of its own, beside EXIF. HEIC's decoder applies it and resets EXIF's, AVIF's writes
    it into EXIF, so that for both EXIF says how to turn the image.
    """
    if kind == "AVIF":
        if "avif" not in features.modules or not features.check("avif"):
            raise missing("an AVIF photo")
        return Image.open(file, formats=("AVIF",))
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise missing("a HEIC photo") from error
    return HeifImageFile(file)  # type: ignore[no-untyped-call]


def missing(thing: str) -> InputError:
    """Return the error for a file that only the packages of the extra ``photos`` can read."""
    return InputError(f"is {thing}; to read it: pip install 'mnist-lstm[photos]'")
