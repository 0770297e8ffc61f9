"""Files of several pages: TIFF and PDF, with damaged and hostile ones."""

import csv
import io
import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, fail, succeed
from drawing import draw
from PIL import Image

from mnist_lstm.errors import InputError
from mnist_lstm.inference import Classifier, load_classifier, pages, pdf
from mnist_lstm.inference.pages import iterate_pages, read_pages, read_picture

DIGITS = (7, 2, 3)
INSTALL = "pip install 'mnist-lstm[photos]'"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load_classifier()


def save(name: str, *digits: int, **options: object) -> None:
    first, *more = [Image.fromarray(draw(digit)) for digit in digits]
    first.save(name, save_all=True, append_images=more, **options)


def classify(command: Command, *args: str) -> list[tuple[str, int | None, int | None]]:
    """Return file, index and digit of each answer."""
    out, err = succeed(command, "classify", "--format", "json", *args)
    assert err == ""
    return [(row["file"], row["index"], row["digit"]) for row in map(json.loads, out.splitlines())]


@pytest.mark.parametrize("name", ["scan.tif", "scan.pdf"])
def test_every_page_gets_an_answer(command: Command, name: str) -> None:
    save(name, *DIGITS)
    assert classify(command, name) == [(name, index, digit) for index, digit in enumerate(DIGITS)]
    assert classify(command, name, "--limit", "2") == [(name, 0, 7), (name, 1, 2)]
    assert classify(command, name, "--limit", "1") == [(name, 0, 7)], "the index does not depend on the limit"
    save(name, 7)
    assert classify(command, name) == [(name, None, 7)]


def test_page_is_named_in_every_format(command: Command) -> None:
    save("scan.tif", *DIGITS)
    out, _ = succeed(command, "classify", "scan.tif")
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [[f"scan.tif[{i}]", str(DIGITS[i])] for i in range(3)]
    out, _ = succeed(command, "classify", "scan.tif", "--format", "csv")
    assert [(row["index"], row["digit"]) for row in csv.DictReader(io.StringIO(out))] == [
        (str(index), str(digit)) for index, digit in enumerate(DIGITS)
    ]
    succeed(command, "classify", "scan.tif", "--show", "seen")
    assert sorted(path.name for path in Path("seen").iterdir()) == [f"0000{index}-scan.png" for index in range(3)]


@pytest.mark.parametrize("name", ["scan.tif", "scan.pdf"])
def test_pages_are_read_from_standard_input(name: str) -> None:
    save(name, *DIGITS)
    code = "import sys; from mnist_lstm.cli import main; sys.exit(main(sys.argv[1:]))"
    program = [sys.executable, "-c", code, "classify", "-", "--format", "json"]
    with Path(name).open("rb") as file:
        seekable = subprocess.run(program, stdin=file, capture_output=True, check=True).stdout
    piped = subprocess.run(program, input=Path(name).read_bytes(), capture_output=True, check=True).stdout
    answers, expected = ([json.loads(line) for line in out.splitlines()] for out in (piped, seekable))
    # which pages the network reads together depends on the time, and with it the last digit of a probability
    exact = ("file", "index", "digit", "status", "message", "marks")
    assert [[row[name] for name in exact] for row in answers] == [[row[name] for name in exact] for row in expected]
    for row, other in zip(answers, expected, strict=True):
        assert row["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    assert [row["digit"] for row in answers] == list(DIGITS)


@pytest.mark.parametrize("name", ["scan.tif", "scan.pdf"])
def test_path_of_several_pages_is_refused_in_python_and_read_pages_reads_them(
    classifier: Classifier, name: str
) -> None:
    save(name, *DIGITS)
    for argument in (name, [name]):
        with pytest.raises(InputError, match=rf"^{name}: has several pages; pass read_pages"):
            classifier(argument)
    assert [prediction.digit for prediction in classifier(read_pages(name))] == list(DIGITS)
    assert [prediction.digit for prediction in classifier(read_pages(Path(name), 2))] == list(DIGITS[:2])
    save(name, 7)
    assert classifier(name).digit == 7
    assert [prediction.digit for prediction in classifier(read_pages(name))] == [7]


def test_read_pages_names_file_and_page() -> None:
    with pytest.raises(InputError, match=r"^no\.pdf: cannot be read"):
        next(read_pages("no.pdf"))
    Path("cut.tif").write_bytes(cut_tiff())
    images = read_pages("cut.tif")
    next(images)
    with pytest.raises(InputError, match=r"^cut\.tif\[1\]: is a damaged"):
        next(images)


def test_read_pages_does_not_turn_a_photo_twice(classifier: Classifier) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(draw(7)).transpose(Image.Transpose.ROTATE_90).save("7.jpg", exif=exif)
    assert [prediction.digit for prediction in classifier(read_pages("7.jpg"))] == [7]


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "group4", "jpeg"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_pages_of_any_size_and_mode(compression: str | None, big: bool) -> None:
    sizes = [(200, 160), (3000, 200), (90, 2500)]
    kinds = {"group4": ["1"], "jpeg": ["L", "RGB"]}.get(str(compression), ["L", "RGB", "1"])
    images = [
        Image.fromarray(draw(7)).resize(size).convert(kinds[i % len(kinds)], dither=Image.Dither.NONE)
        for i, size in enumerate(sizes)
    ]
    images[0].save("x.tif", save_all=True, append_images=images[1:], compression=compression, big_tiff=big)
    read = list(iterate_pages("x.tif"))
    assert [index for index, _ in read] == [0, 1, 2]
    for (_, page), image in zip(read, images, strict=True):
        assert not isinstance(page, InputError)
        levels, picture = page
        expected = np.asarray(image.convert("L").resize(picture.size, Image.Resampling.BOX), dtype=float)
        assert abs(levels - expected).mean() < 6
        assert max(levels.shape) <= 1024


PIXELS, DIRECTORY = 72, 2 + 10 * 12 + 4  # bytes of `tiff` before the first page, and of each page


def tiff(number: int, *kinds: int) -> bytes:
    """Return a TIFF file of 8x8 pixels a page, which share their pixels; the kinds are flags of its first pages."""
    data = struct.pack("<2sHI", b"II", 42, PIXELS) + bytes(range(64))
    for page in range(number):
        kind = kinds[page] if page < len(kinds) else 0
        fields = {254: kind, 256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
        after = len(data) + DIRECTORY if page < number - 1 else 0
        data += struct.pack("<H", len(fields)) + entries + struct.pack("<I", after)
    return data


def test_previews_and_masks_are_not_pages() -> None:
    preview, page, mask = 1, 2, 4
    for kinds, number in {(page, preview, page, mask): 2, (0, preview): 1, (preview, page): 2, (0, 0, 0): 3}.items():
        indices = [index for index, _ in iterate_pages(io.BytesIO(tiff(len(kinds), *kinds)))]
        assert indices == (list(range(number)) if number > 1 else [None])


def cut_tiff() -> bytes:
    """Return a TIFF file of 3 pages that ends in the directory of the second."""
    return tiff(3)[: PIXELS + DIRECTORY + 60]


def without_width() -> bytes:
    """Return a TIFF file of 3 pages, the second without a width."""
    at = PIXELS + DIRECTORY + 2 + 12
    return tiff(3)[:at] + bytes(12) + tiff(3)[at + 12 :]


WIDTH = struct.pack("<HHII", 256, 4, 1, 8)
BAD_TIFFS = {
    "cut short": (cut_tiff(), ["ok", "error"]),
    "loop": (tiff(2)[:-4] + struct.pack("<I", PIXELS), ["ok", "ok"]),
    "next page outside": (tiff(1)[:-4] + struct.pack("<I", 10**9), ["ok", "error"]),
    "one damaged page": (without_width(), ["ok", "error", "ok"]),
    "too wide": (tiff(2).replace(WIDTH, struct.pack("<HHII", 256, 4, 1, 9 * 10**6)), ["error"] * 2),
}


@pytest.mark.parametrize("name", BAD_TIFFS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_tiff_pages_do_not_hide_the_others(name: str) -> None:
    data, expected = BAD_TIFFS[name]
    read = list(iterate_pages(io.BytesIO(data)))
    assert ["error" if isinstance(page, InputError) else "ok" for _, page in read] == expected
    assert [index for index, _ in read] == list(range(len(expected)))


def test_number_of_pages_is_limited() -> None:
    assert len(list(iterate_pages(io.BytesIO(tiff(pages.MAX_PAGES))))) == pages.MAX_PAGES
    for data in (tiff(pages.MAX_PAGES + 1), pdf_file(10_000, SEVEN)):
        for limit in (None, pages.MAX_PAGES + 1):
            with pytest.raises(InputError, match=r"more than the maximum of 1,000 pages; --limit N"):
                next(iterate_pages(io.BytesIO(data), limit))
        assert [index for index, _ in iterate_pages(io.BytesIO(data), 2)] == [0, 1]


def objects(*bodies: bytes) -> bytes:
    """Return a PDF file; objects are numbered from 1, and the first is the catalogue."""
    data, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    number = len(bodies) + 1
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer\n<</Size %d/Root 1 0 R/Info 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (number, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n" % number + table + trailer


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (entries, len(data), data)


def pdf_file(number: int, content: bytes, *more: bytes, box: bytes = b"0 0 300 400", entries: bytes = b"") -> bytes:
    """Return a PDF file with the same page again and again; further objects have numbers from 5."""
    tree = b"<</Type/Pages/Kids[%b]/Count %d>>" % (b"3 0 R " * number, number)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[%b]/Contents 4 0 R%b>>" % (box, entries)
    return objects(b"<</Type/Catalog/Pages 2 0 R>>", tree, page, content, *more)


SEVEN = stream(b"12 w 1 J 1 j 100 300 m 200 300 l 140 100 l S")


@pytest.mark.parametrize(
    ("box", "entries", "shape"),
    [
        (b"0 0 300 400", b"", (1000, 750)),
        (b"0 0 300 400", b"/Rotate 90", (750, 1000)),
        (b"-50 -50 350 350", b"", (1000, 1000)),
        (b"0 0 1000000 1000000", b"", (1000, 1000)),
        (b"0 0 1000000 1", b"", (1, 1000)),
        (b"0 0 0.001 0.001", b"", (1000, 1000)),
        (b"0 0 0 0", b"", (1000, 773)),
        (b"0 0 1e999 nan", b"", (1000, 773)),
    ],
)
def test_pdf_page_of_any_size_has_at_most_1000_pixels(box: bytes, entries: bytes, shape: tuple[int, int]) -> None:
    levels, picture = read_picture(io.BytesIO(pdf_file(1, SEVEN, box=box, entries=entries)))
    assert levels.shape == picture.size[::-1] == shape


def test_drawing_in_a_pdf_is_read(classifier: Classifier) -> None:
    Path("seven.pdf").write_bytes(pdf_file(1, SEVEN))
    assert classifier("seven.pdf").digit == 7
    Path("two.jpg").write_bytes(b"\n \n" + pdf_file(1, SEVEN))  # neither its name nor its first byte
    assert classifier("two.jpg").digit == 7


ENCRYPTED = pdf_file(1, SEVEN).replace(
    b"/Info 1 0 R", b"/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>" % (b"01" * 32, b"02" * 32)
)
BAD_PDFS = {
    "password": (ENCRYPTED, "is protected by a password; save it without one"),
    "no content": (b"%PDF-1.7\nnothing", "is a damaged PDF file"),
    "only its mark": (b"%PDF-", "is a damaged PDF file"),
    "cut short": (pdf_file(1, SEVEN)[:150], "is a damaged PDF file"),
    "no pages": (pdf_file(0, SEVEN), "is a damaged PDF file"),
}


@pytest.mark.parametrize("name", BAD_PDFS)
def test_bad_pdf_is_an_error(command: Command, name: str) -> None:
    data, message = BAD_PDFS[name]
    Path("bad.pdf").write_bytes(data)
    assert fail(command, "classify", "bad.pdf") == f"mnist-lstm: error: bad.pdf: {message}\n"


def test_missing_pdf_pages_are_errors() -> None:
    data = pdf_file(1, SEVEN).replace(b"/Count 1", b"/Count 3")
    first, *others = iterate_pages(io.BytesIO(data))
    assert isinstance(first[1], tuple)
    assert [(index, str(page)) for index, page in others] == [(1, "is a damaged page"), (2, "is a damaged page")]


def nested(depth: int, fan: int) -> bytes:
    """Return a PDF file of 2 kB that draws ``fan`` to the power of ``depth`` lines."""
    form, forms = b"/Type/XObject/Subtype/Form/BBox[0 0 300 400]", []
    for number in range(6, 6 + depth):
        forms.append(stream(b"/F Do " * fan, b"%b/Resources<</XObject<</F %d 0 R>>>>" % (form, number)))
    forms.append(stream(b"0 0 m 300 400 l S", form))
    return pdf_file(1, stream(b"/F Do"), *forms, entries=b"/Resources<</XObject<</F 5 0 R>>>>")


def test_pdf_page_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_SECONDS", 1)
    assert isinstance(next(iterate_pages(io.BytesIO(nested(2, 4))))[1], tuple), "a small one is drawn"
    start = time.monotonic()
    ((index, page),) = iterate_pages(io.BytesIO(nested(9, 10)))
    assert time.monotonic() - start < 20
    assert index is None
    assert "cannot be drawn within" in str(page)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's memory")
def test_pdf_page_that_takes_all_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_SECONDS", 500)
    monkeypatch.setattr(pdf, "MAX_BYTES", 2**29)
    packer, lines = zlib.compressobj(1), b"0 0 m 300 400 l S\n" * 1000
    data = b"".join([*(packer.compress(lines) for _ in range(6000)), packer.flush()])
    read = list(iterate_pages(io.BytesIO(pdf_file(2, stream(data, b"/Filter/FlateDecode")))))
    assert len(read) == 1
    assert str(read[0][1]).endswith("of memory; the pages after it are not read")


def test_renderer_ends_when_pages_are_not_wanted_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    reading = iterate_pages(io.BytesIO(pdf_file(500, SEVEN)))
    next(reading)
    assert started[0].poll() is None
    reading.close()
    assert started[0].poll() is not None


def test_pdf_is_recognised_without_its_package(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    Path("scan.png").write_bytes(pdf_file(1, SEVEN))
    err = fail(command, "classify", "scan.png")
    assert err == f"mnist-lstm: error: scan.png: is a PDF file; to read it: {INSTALL}\n"
