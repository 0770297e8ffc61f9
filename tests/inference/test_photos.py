"""HEIC and AVIF: orientation, limits, damaged files, and what is said without the packages."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from conftest import Command, fail, succeed
from drawing import draw
from PIL import Image, features

from mnist_lstm.errors import InputError
from mnist_lstm.inference import Classifier, load_classifier, read
from mnist_lstm.inference.pages import read_picture
from mnist_lstm.inference.photos import photo_format

RESOLUTION_UNIT = 296  # an EXIF tag
INSTALL = "pip install 'mnist-lstm[photos]'"
UNDO = (
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_270,
)
"""How a photo with the EXIF orientation 1, 2, ... is stored."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def encode(image: Image.Image, kind: str, orientation: int | None = None) -> bytes:
    """Encode an image that is stored turned, as a phone does."""
    buffer, options = io.BytesIO(), {}
    if orientation is not None:
        exif = Image.Exif()
        exif[274] = orientation
        exif[RESOLUTION_UNIT] = 1
        options = {"exif": exif.tobytes()}
    if kind == "HEIC":
        pillow_heif.from_pillow(image).save(buffer, quality=90, **options)
    else:
        image.save(buffer, "AVIF", quality=90, **options)
    return buffer.getvalue()


def seven(kind: str) -> bytes:
    return encode(Image.fromarray(draw(7)).convert("RGB"), kind)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_photo_is_read(classifier: Classifier, kind: str, mode: str) -> None:
    data = encode(Image.fromarray(draw(7)).convert(mode), kind)
    Path("photo.jpg").write_bytes(data)  # the content decides, not the name
    assert classifier("photo.jpg").digit == 7
    levels, image = read_picture(io.BytesIO(data))
    assert abs(levels.astype(float) - draw(7)).mean() < 3
    assert image.size == (160, 200)


def test_deep_photo_is_read(classifier: Classifier) -> None:
    deep = np.dstack([draw(7).astype(np.uint16) * 257] * 3)
    pillow_heif.from_bytes(mode="RGB;16", size=(160, 200), data=deep.tobytes()).save("ten-bits.heic", quality=90)
    assert classifier("ten-bits.heic").digit == 7


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_upright_once(kind: str, orientation: int) -> None:
    image = Image.fromarray(draw(4)).convert("RGB")
    undo = UNDO[orientation - 1]
    data = encode(image if undo is None else image.transpose(undo), kind, orientation)
    assert (b"irot" in data or b"imir" in data) == (orientation > 1), "the format's own orientation"
    levels, upright = read_picture(io.BytesIO(data))
    assert levels.shape == (200, 160)
    assert abs(levels.astype(float) - draw(4)).mean() < 3
    assert upright.size == (160, 200)
    # phones write EXIF's orientation as well, for programs that ignore the format's own; Pillow's encoder does not
    exif = struct.pack(">HHIHH", 274, 3, 1, orientation, 0)
    if kind == "AVIF":
        assert exif not in data
        data = data.replace(struct.pack(">HHIHH", RESOLUTION_UNIT, 3, 1, 1, 0), exif)
        assert np.array_equal(read_picture(io.BytesIO(data))[0], levels)
    assert exif in data


def test_orientation_in_tiff_is_applied_once() -> None:
    image = Image.fromarray(draw(4))
    for orientation, undo in enumerate(UNDO, 1):
        for compression in (None, "tiff_lzw"):
            stored = image if undo is None else image.transpose(undo)
            stored.save("turned.tif", tiffinfo={274: orientation}, compression=compression)
            assert np.array_equal(read_picture("turned.tif")[0], draw(4))


def test_first_picture_of_several_is_the_main_one(classifier: Classifier) -> None:
    pillow = pillow_heif.from_pillow(Image.fromarray(draw(2)).convert("RGB"))
    pillow.add_from_pillow(Image.fromarray(draw(7)).convert("RGB"))
    pillow.save("burst.heic", primary_index=1)
    assert classifier("burst.heic").digit == 7
    frames = [Image.fromarray(draw(digit)).convert("RGB") for digit in (7, 2)]
    frames[0].save("moving.avif", save_all=True, append_images=frames[1:])
    assert classifier("moving.avif").digit == 7


def announce(data: bytes, width: int, height: int) -> bytes:
    """Change the size in the header."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">2I", width, height) + data[at + 8 :]


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: announce(data, 9000, 9000), "has 9000x9000 pixels, more than the maximum of 64 megapixels"),
        (lambda data: announce(data, 2**31 - 1, 2**31 - 1), ""),
        (lambda data: announce(data, 0, 0), ""),
        (lambda data: data[: len(data) // 2], ""),
        (lambda data: data[:40], ""),
        (lambda data: data[:200] + bytes(len(data) - 200), ""),
    ],
)
def test_bad_photo_is_an_error(command: Command, kind: str, damage: object, message: str) -> None:
    Path("bad.heic").write_bytes(damage(seven(kind)))
    err = fail(command, "classify", "bad.heic")
    assert err.startswith("mnist-lstm: error: bad.heic: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_size_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("HEIC", "AVIF"):
        monkeypatch.setattr(read, "_reduce_to_work_side", lambda image: pytest.fail("decoded"))
        with pytest.raises(InputError, match="more than the maximum"):
            read_picture(io.BytesIO(announce(seven(kind), 9000, 9000)))


def test_large_file_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_BYTES", 2**20)
    for kind in ("HEIC", "AVIF"):
        data = seven(kind)
        read_picture(io.BytesIO(data + bytes(2**20 - len(data))))
        with pytest.raises(InputError, match="is larger than 1 MiB"):
            read_picture(io.BytesIO(data + bytes(2**20)))


BRANDS = {
    b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf": "HEIC",
    b"\0\0\0\x18ftyphevx\0\0\0\0mif1heic": "HEIC",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "HEIC",
    b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc": "HEIC",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif": "AVIF",
    b"\0\0\0\x14ftypmif1\0\0\0\0mif1avif": "HEIC",  # the box ends before
    b"\0\0\0\x18ftypavif\0\0\0\0mif1avif": "AVIF",
    b"\0\0\0\x18ftypavis\0\0\0\0avif": "AVIF",
    b"\0\0\0\x18ftypisom\0\0\0\0isommp41": None,
    b"\0\0\0\x14ftypqt  \0\0\0\0qt  ": None,
    b"\0\0\0\x18frypheic\0\0\0\0mif1heic": None,
    b"\xff\xd8\xff\xe0\0\x10JFIF": None,
    b"": None,
}


def test_formats_are_recognised_by_their_brands() -> None:
    assert {head: photo_format(head) for head in BRANDS} == BRANDS


def test_video_is_not_a_photo(command: Command) -> None:
    Path("film.heic").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + bytes(100))
    assert "is not a picture in a supported format (PNG, " in fail(command, "classify", "film.heic")


@pytest.fixture
def _without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "check", lambda name: False)


@pytest.mark.usefixtures("_without_packages")
def test_missing_package_is_named(command: Command, classifier: Classifier) -> None:
    Path("a.jpg").write_bytes(seven("HEIC"))
    Path("b.jpg").write_bytes(seven("AVIF"))
    Image.fromarray(draw(7)).save("c.png")
    code, out, err = command("classify", "a.jpg", "b.jpg", "c.png", "--format", "csv")
    assert code == 2
    assert err.splitlines() == [
        f"mnist-lstm: error: a.jpg: is a HEIC photo; to read it: {INSTALL}",
        f"mnist-lstm: error: b.jpg: is an AVIF photo; to read it: {INSTALL}",
    ]
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["", "", "7"]
    with pytest.raises(InputError, match=r"a\.jpg: is a HEIC photo; to read it: pip install"):
        classifier("a.jpg")


@pytest.mark.usefixtures("_without_packages")
def test_photos_in_a_folder_do_not_vanish_without_their_package(command: Command) -> None:
    Path("photos").mkdir()
    Path("photos/7.heic").write_bytes(seven("HEIC"))
    Image.fromarray(draw(7)).save("photos/8.png")
    code, out, err = command("classify", "photos")
    assert code == 2
    assert err == f"mnist-lstm: error: photos/7.heic: is a HEIC photo; to read it: {INSTALL}\n"
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["photos/7.heic", "photos/8.png"]


def test_packages_are_imported_only_for_their_files() -> None:
    Image.fromarray(draw(7)).save("7.png")
    Path("7.heic").write_bytes(seven("HEIC"))
    code = (
        "import sys; from mnist_lstm.cli import main; main(['classify', sys.argv[1]])\n"
        "print('pillow_heif' in sys.modules, 'pypdfium2' in sys.modules, 'PIL._avif' in sys.modules)"
    )
    last = {}
    for name in ("7.png", "7.heic"):
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
        last[name] = done.stdout.splitlines()[-1]
    assert last["7.heic"].startswith("True False"), "can fail"
    assert last["7.png"] == "False False False"


def test_photos_and_documents_in_a_folder_are_read(command: Command) -> None:
    Path("photos").mkdir()
    Path("photos/a.HEIC").write_bytes(seven("HEIC"))
    Path("photos/b.heif").write_bytes(seven("HEIC"))
    Path("photos/c.avif").write_bytes(seven("AVIF"))
    Image.fromarray(draw(7)).save("photos/d.pdf")
    out, err = succeed(command, "classify", "photos")
    assert err == ""
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        [f"photos/{name}", "7"] for name in ("a.HEIC", "b.heif", "c.avif", "d.pdf")
    ]
