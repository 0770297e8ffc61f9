"""Reading grey levels from files, PIL images, arrays and tensors; hostile and damaged input."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import draw
from PIL import Image

from mnist_lstm.data.datasets import load_sklearn_digits
from mnist_lstm.data.idx import MAX_PIXELS
from mnist_lstm.errors import InputError
from mnist_lstm.inference import Classifier, load_classifier, read
from mnist_lstm.inference.arrays import from_array, read_mnist_sized
from mnist_lstm.inference.pages import read_picture
from mnist_lstm.inference.read import FORMATS, from_image

SEVEN = draw(7)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def coloured(ink: tuple[int, int, int], ground: tuple[int, int, int]) -> Image.Image:
    share = np.asarray(draw(7, ink=255, paper=0), dtype=float)[..., None] / 255
    return Image.fromarray(np.rint(np.array(ground) * (1 - share) + np.array(ink) * share).astype(np.uint8))


def transparent(ink: int) -> Image.Image:
    """Draw ink on a transparent ground."""
    share = Image.fromarray(draw(7, ink=255, paper=0))
    image = Image.new("RGBA", share.size, (ink, ink, ink, 0))
    image.putalpha(share)
    return image


def sticker() -> Image.Image:
    image = Image.fromarray(SEVEN).convert("RGBA")
    alpha = np.full(SEVEN.shape, 255, dtype=np.uint8)
    alpha[:20, :20] = alpha[-20:, -20:] = 0
    image.putalpha(Image.fromarray(alpha))
    return image


MODES = {
    "L": Image.fromarray(SEVEN),
    "1": Image.fromarray(SEVEN).convert("1", dither=Image.Dither.NONE),
    "P": Image.fromarray(SEVEN).convert("RGB").quantize(8),
    "LA": Image.fromarray(SEVEN).convert("LA"),
    "RGB": Image.fromarray(SEVEN).convert("RGB"),
    "RGBA": Image.fromarray(SEVEN).convert("RGBA"),
    "CMYK": Image.fromarray(SEVEN).convert("RGB").convert("CMYK"),
    "YCbCr": Image.fromarray(SEVEN).convert("RGB").convert("YCbCr"),
    "HSV": Image.fromarray(SEVEN).convert("RGB").convert("HSV"),
    "LAB": Image.fromarray(np.dstack([SEVEN, np.full_like(SEVEN, 128), np.full_like(SEVEN, 128)]), "LAB"),
    "I;16": Image.fromarray(SEVEN.astype(np.uint16) * 257),
    "I;16, 12 bits": Image.fromarray(SEVEN.astype(np.uint16) * 16),
    "I": Image.fromarray(SEVEN.astype(np.int32) * 257),
    "F": Image.fromarray(SEVEN.astype(np.float32)),
    "F, 0 to 1": Image.fromarray(SEVEN.astype(np.float32) / 255),
    "dark on transparent": transparent(0),
    "light on transparent": transparent(255),
    "sticker": sticker(),
    "transparent palette": transparent(0).quantize(8),
    "blue on white": coloured((30, 60, 200), (250, 250, 250)),
    "yellow on white": coloured((255, 235, 0), (255, 255, 255)),
    "red on green": coloured((200, 40, 40), (20, 121, 20)),
    "green on black": coloured((0, 255, 0), (0, 0, 0)),
}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("name", MODES)
def test_every_mode_is_read(classifier: Classifier, name: str) -> None:
    image = MODES[name]
    before = image.tobytes()
    assert classifier(image).digit == 7
    assert image.tobytes() == before, "the picture is not modified"
    large = image.resize((image.width * 8, image.height * 8))
    assert classifier(large).digit == 7


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_read(classifier: Classifier, format_: str) -> None:
    Image.fromarray(SEVEN).convert("RGB").save("seven", format_)
    assert classifier("seven").digit == 7
    assert classifier(Path("seven")).digit == 7
    with Path("seven").open("rb") as file:
        levels, image = read_picture(file)
    assert levels.shape == SEVEN.shape
    assert image.size == SEVEN.shape[::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_upright_by_its_exif_orientation(classifier: Classifier, orientation: int) -> None:
    method = Image.Transpose
    undo = (
        None,
        method.FLIP_LEFT_RIGHT,
        method.ROTATE_180,
        method.FLIP_TOP_BOTTOM,
        method.TRANSPOSE,
        method.ROTATE_90,
        method.TRANSVERSE,
        method.ROTATE_270,
    )[orientation - 1]
    image = Image.fromarray(draw(4))
    stored = image if undo is None else image.transpose(undo)
    exif = Image.Exif()
    exif[274] = orientation
    for mode, name in (("L", "grey.jpg"), ("RGB", "colour.jpg"), ("L", "grey.png")):
        stored.convert(mode).save(name, exif=exif)
        levels, _ = read_picture(name)
        assert abs(levels.astype(float) - np.asarray(image)).mean() < 2
        assert classifier(name).digit == 4


def test_first_frame_of_an_animation_is_read(classifier: Classifier) -> None:
    frames = [Image.fromarray(draw(digit)) for digit in (7, 2, 3)]
    for name in ("moving.gif", "moving.png", "moving.webp"):
        frames[0].save(name, save_all=True, append_images=frames[1:])
        assert classifier(name).digit == 7


ARRAYS = {
    "uint8": SEVEN,
    "bool": SEVEN > 128,
    "zeros and ones": (SEVEN > 128).astype(np.uint8),
    "int64": SEVEN.astype(np.int64),
    "uint16": SEVEN.astype(np.uint16) * 257,
    "0 to 1": SEVEN / 255,
    "0 to 255": SEVEN.astype(np.float32),
    "float16": (SEVEN / 255).astype(np.float16),
    "one channel": SEVEN[..., None],
    "RGB": np.dstack([SEVEN] * 3),
    "RGB, 0 to 1": np.dstack([SEVEN] * 3) / 255,
    "RGBA": np.dstack([SEVEN] * 3 + [np.full_like(SEVEN, 255)]),
    "not contiguous": np.asfortranarray(SEVEN)[::1, ::1].T.T,
    "big-endian": SEVEN.astype(">u2"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_every_array_is_read(classifier: Classifier, name: str) -> None:
    array = ARRAYS[name]
    assert classifier(array).digit == 7
    assert [p.digit for p in classifier(np.stack([array, array]))] == [7, 7]


def test_channels_first_arrays_are_read(classifier: Classifier) -> None:
    for channels in (1, 3):
        array = np.stack([np.stack([SEVEN] * channels)] * 5)
        assert [prediction.digit for prediction in classifier(array)] == [7] * 5


@pytest.mark.parametrize("shape", [(784,), (1, 784)])
def test_flat_image_of_mnist_size_is_read(classifier: Classifier, shape: tuple[int, ...]) -> None:
    image = load_sklearn_digits()[0][0]
    expected = classifier(image)
    assert expected.digit == 0
    for flat in (image.reshape(shape), image.reshape(shape) / 255, torch.tensor(image).reshape(shape)):
        for prediction in (classifier(flat), *classifier([flat, flat])):
            assert prediction.digit == 0
            np.testing.assert_array_equal(prediction.seen, expected.seen)


def test_array_784_pixels_wide_is_ambiguous_and_both_remedies_work(classifier: Classifier) -> None:
    images = load_sklearn_digits()[0][:28]
    flat, strip = images.reshape(-1, 784), np.hstack(images)
    assert flat.shape == strip.shape
    for array in (flat, strip, torch.tensor(flat)):
        with pytest.raises(InputError, match=r"^array of shape 28x784: pass array\.reshape\(-1, 28, 28\) if"):
            classifier(array)
    answers = classifier(flat.reshape(-1, 28, 28))
    assert [answer.digit for answer in answers] == [answer.digit for answer in classifier(list(flat))]
    assert [answer.status for answer in classifier([strip])] == ["several"]


@pytest.mark.parametrize("tensor", [torch.zeros(9, 9).to_sparse(), torch.zeros(9, 9, device="meta")])
def test_tensor_without_data_is_refused(classifier: Classifier, tensor: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"a tensor of layout .* is not a picture"):
        classifier(tensor)


def test_tensors_of_every_shape_and_dtype_are_read(classifier: Classifier) -> None:
    tensor = torch.tensor(SEVEN)
    assert classifier(tensor).digit == 7
    colour = tensor.expand(3, -1, -1)
    many = {
        "N": tensor.expand(5, -1, -1),
        "N, 1": tensor.expand(5, 1, -1, -1),
        "N, 3": tensor.expand(5, 3, -1, -1) / 255,
        "list": [tensor, tensor[None], colour, (colour / 255).bfloat16(), (tensor / 255).double().requires_grad_()],
    }
    for tensors in many.values():
        assert [prediction.digit for prediction in classifier(tensors)] == [7] * 5


def test_kinds_can_be_mixed_and_keep_their_order(classifier: Classifier) -> None:
    Image.fromarray(draw(2)).save("two.png")
    pictures = ["two.png", Path("two.png"), Image.fromarray(SEVEN), draw(3), torch.tensor(draw(4))]
    assert [prediction.digit for prediction in classifier(iter(pictures))] == [2, 2, 7, 3, 4]
    assert classifier([]) == []
    assert classifier(np.zeros((0, 28, 28), dtype=np.uint8)) == []


BAD_ARRAYS = {
    "not a number": (np.full((20, 20), np.nan), "values from nan to nan"),
    "negative": (np.full((20, 20), -1.0), "values from -1 to -1; expected 0 to 1"),
    "normalised": (np.linspace(-0.4, 2.8, 784).reshape(28, 28), "values from -0.4 to 2.8"),
    "infinite": (np.full((20, 20), np.inf), "values from inf to inf"),
    "too large": (np.full((20, 20), 1e9), "values from 1e+09 to 1e+09"),
    "complex": (np.zeros((20, 20), dtype=complex), "has dtype complex128"),
    "text": (np.full((20, 20), "a"), "has dtype <U1"),
    "5 channels": (np.zeros((2, 20, 20, 5)), "has shape 20x20x5"),
    "one dimension": (np.zeros(783), "array of shape 783"),
    "rows of 784": (
        np.zeros((1000, 784)),
        "array of shape 1000x784: pass array.reshape(-1, 28, 28) if it holds 1,000 images of 28x28, or [array] if",
    ),
    "no rows": (np.zeros((0, 20)), "is empty"),
    "too many pixels": (
        np.broadcast_to(np.uint8(0), (10_000, 10_000)),
        "10000x10000 pixels, more than",
    ),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_array_that_is_not_a_picture_is_refused(classifier: Classifier, name: str) -> None:
    array, message = BAD_ARRAYS[name]
    with pytest.raises(InputError) as error:
        classifier(array)
    assert message in str(error.value)


@pytest.mark.parametrize("thing", [7, None, b"bytes", 1.5, {"a": 1}, object()])
def test_other_types_are_refused(classifier: Classifier, thing: object) -> None:
    with pytest.raises(InputError, match=r"is not a picture"):
        classifier(thing)
    with pytest.raises(InputError, match=r"picture 1: a .* is not a picture"):
        classifier([SEVEN, thing])


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """Return a PNG with any size in its header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


BAD_FILES = {
    "nothing": (b"", "is an empty file"),
    "text": (b"seven", "is not a picture in a supported format (PNG, JPEG"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture in a supported format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture in a supported format"),
    "cut short": (png(50, 50)[:40], "is not a picture"),
    "no rows": (png(50, 50), "is a damaged PNG picture"),
    "large": (png(10_000, 9_000), "more than the maximum of 64 megapixels"),
    "bomb": (png(30_000, 30_000), "more than the maximum of 64 megapixels"),
    "huge": (png(2**31 - 1, 2**31 - 1), "more than the maximum of 64 megapixels"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_file_that_is_not_a_picture_is_refused(classifier: Classifier, name: str) -> None:
    data, message = BAD_FILES[name]
    Path("bad").write_bytes(data)
    with pytest.raises(InputError) as error:
        classifier("bad")
    assert str(error.value).startswith("bad: ")
    assert message in str(error.value)
    with pytest.raises(InputError) as error:
        read_picture(io.BytesIO(data))
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["missing.png", "folder", "nul\0byte"])
def test_file_that_cannot_be_opened_is_refused(classifier: Classifier, name: str) -> None:
    Path("folder").mkdir()
    with pytest.raises(InputError, match=r"cannot be read"):
        classifier(name)


def test_photo_of_50_megapixels_is_read(classifier: Classifier) -> None:
    assert MAX_PIXELS > 50_000_000
    Image.fromarray(SEVEN).resize((8160, 6144)).save("large.jpg")
    assert classifier("large.jpg").digit == 7


def test_webp_limit_is_16_megapixels(classifier: Classifier) -> None:
    Image.new("L", (4100, 4000), 255).save("large.webp", lossless=True, method=0)
    with pytest.raises(InputError, match=r"has 4100x4000 pixels, more than .* 16 megapixels"):
        classifier("large.webp")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_reducing_in_strips_equals_reducing_at_once(mode: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (700, 50, 3), dtype=np.uint8)).convert(mode)
    assert read._reduce(image, 3).tobytes() == image.reduce(3).tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_is_ignored(classifier: Classifier) -> None:
    Image.fromarray(SEVEN).save("odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert classifier("odd.jpg").digit == 7


def test_grey_levels_equal_those_of_the_picture() -> None:
    levels, image = from_image(Image.fromarray(SEVEN))
    np.testing.assert_array_equal(levels, SEVEN)
    assert image.mode == "L"
    for array in (SEVEN / 255, SEVEN.astype(np.uint16) * 257):
        np.testing.assert_allclose(from_array(array)[0], SEVEN / 255, atol=1e-6)
    levels, _ = from_array(draw(7, size=(28, 28), height=18, width=2) / 255)
    assert levels.dtype == np.uint8, "an MNIST image divided by 255 becomes the same MNIST image again"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float16, np.float32, np.float64, bool])
def test_batch_of_28x28_pictures_reads_like_single_ones(dtype: type) -> None:
    rng = np.random.default_rng(0)
    high = np.array([1, 1, 255, 200, 65535, 1])[:, None, None]
    images = rng.random((6, 28, 28)) * np.minimum(high, 255 if dtype is np.uint8 else 60000)
    images = images.astype(dtype) if dtype is not bool else images > 0.5
    together = read_mnist_sized(images)
    assert together is not None
    assert together.dtype == np.uint8
    for image, levels in zip(images, together, strict=True):
        assert np.array_equal(levels, from_array(image)[0])
    if dtype is not np.uint16:  # PyTorch has few operations for it
        assert np.array_equal(read_mnist_sized(torch.tensor(images)[:, None]), together)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 28, 29)),
        np.zeros((28, 28)),
        np.zeros((0, 28, 28)),
        np.zeros((2, 28, 28), dtype=complex),
        np.full((2, 28, 28), np.nan),
        np.full((2, 28, 28), -1.0),
        np.full((2, 28, 28), 70000),
        [np.zeros((28, 28))],
    ],
)
def test_read_mnist_sized_returns_none_for_anything_else(images: object) -> None:
    assert read_mnist_sized(images) is None


def test_array_of_pictures_gets_the_answers_of_single_ones(classifier: Classifier) -> None:
    digits = load_sklearn_digits()[0][:40]
    images = np.concatenate([digits, 255 - digits, np.zeros_like(digits[:1])])
    together = classifier(images)
    for other in ([classifier(image) for image in images], classifier(torch.tensor(images).float()[:, None] / 255)):
        assert [(p.digit, p.status) for p in other] == [(p.digit, p.status) for p in together]
        # rounding depends on the batch size
        assert [p.probability or 0 for p in other] == pytest.approx([p.probability or 0 for p in together], abs=1e-4)
        assert all(np.array_equal(a.seen, b.seen) for a, b in zip(other, together, strict=True))
