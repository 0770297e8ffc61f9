"""Files and configs of a stranger who means harm: each is made in the working folder, with the command that meets it.

Each maker returns the arguments of the command. None may run code, take long or take much memory, whatever it answers.
"""

import gzip
import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from conftest import Evil
from PIL import Image

from mnist_lstm.inference.classifier import PRETRAINED

CASES: dict[str, Callable[[], list[str]]] = {}
"""By name, in words."""

GIANT = 2**30
"""Bytes that a bomb unpacks to."""


def case(make: Callable[[], list[str]]) -> Callable[[], list[str]]:
    CASES[make.__name__.replace("_", " ")] = make
    return make


def write(name: str, content: bytes | str) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


# configs


def config(text: str) -> list[str]:
    return ["fit", "--trainer.accelerator=cpu", "--config", write("config.yaml", text), "--data.dataset=digits"]


@case
def config_with_a_class_path() -> list[str]:
    write("stranger.py", "from pathlib import Path\nPath('it ran').touch()\n")
    return config("trainer: {callbacks: {class_path: stranger.C}}\n")


@case
def config_with_a_nested_class_path() -> list[str]:
    write("stranger.py", "from pathlib import Path\nPath('it ran').touch()\n")
    theme = "{class_path: RichProgressBar, init_args: {theme: {class_path: stranger.C}}}"
    return config(f"trainer: {{callbacks: [{theme}]}}\n")


@case
def config_with_a_function() -> list[str]:
    return config("trainer: {callbacks: {class_path: LambdaCallback, init_args: {on_fit_start: os.abort}}}\n")


@case
def config_with_a_function_of_torch() -> list[str]:
    return config("trainer: {callbacks: {class_path: LambdaCallback, init_args: {on_fit_start: torch.load}}}\n")


@case
def config_with_a_YAML_tag() -> list[str]:  # noqa: N802
    return config('trainer: {callbacks: [!!python/object/apply:os.system ["touch it\\\\ ran"]]}\n')


@case
def config_with_a_billion_laughs() -> list[str]:
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)]
    return config("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(levels))


@case
def config_with_an_alias_of_itself() -> list[str]:
    return config("trainer: &a {callbacks: [*a]}\n")


@case
def config_with_10_000_levels() -> list[str]:
    return config("trainer: " + "[" * 10_000 + "]" * 10_000)


@case
def config_of_100_MB() -> list[str]:  # noqa: N802
    with Path("config.yaml").open("wb") as file:
        file.truncate(10**8)
    return ["fit", "--config", "config.yaml"]


@case
def config_that_names_a_FIFO() -> list[str]:  # noqa: N802
    os.mkfifo("fifo")
    return config("trainer: fifo\n")


@case
def config_that_is_a_device() -> list[str]:
    return ["fit", "--config", "/dev/zero"]


# checkpoints


def checkpoint(content: bytes) -> list[str]:
    return ["classify", write("seven.png", _png(28, 28)), "--ckpt_path", write("made.ckpt", content)]


def _archive(pickled: bytes, compression: int = zipfile.ZIP_STORED, more: bytes = b"") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("made/data.pkl", pickled)
        archive.writestr("made/byteorder", "little")
        archive.writestr("made/version", "3\n")
        if more:
            archive.writestr("made/data/0", more)
    return file.getvalue()


@case
def checkpoint_with_code() -> list[str]:
    file = io.BytesIO()
    torch.save(torch.load(PRETRAINED, weights_only=True) | {"extra": Evil()}, file)
    return checkpoint(file.getvalue())


@case
def checkpoint_to_resume_with_code() -> list[str]:
    torch.save({"state_dict": {}, "hyper_parameters": {}, "loops": Evil()}, "made.ckpt")
    return ["fit", "--ckpt_path", "made.ckpt", "--data.dataset=digits", "--trainer.accelerator=cpu"]


@case
def checkpoint_that_is_a_pickle() -> list[str]:
    return checkpoint(pickle.dumps(Evil()))


@case
def checkpoint_that_is_a_zip_bomb() -> list[str]:
    return checkpoint(_archive(bytes(GIANT // 4), zipfile.ZIP_DEFLATED))


@case
def checkpoint_with_a_deep_pickle() -> list[str]:
    return checkpoint(_archive(b"\x80\x02" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"."))


@case
def checkpoint_that_announces_gigabytes() -> list[str]:
    return checkpoint(_archive(b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"."))


@case
def checkpoint_whose_pickle_doubles_itself() -> list[str]:
    # a list with twice the one before, forty times
    start = b"\x80\x02]q\0"
    steps = b"".join(b"]q" + bytes([n]) + b"(h" + bytes([n - 1]) + b"h" + bytes([n - 1]) + b"e" for n in range(1, 41))
    return checkpoint(_archive(start + steps + b"."))


@case
def checkpoint_with_a_giant_network() -> list[str]:
    content = torch.load(PRETRAINED, weights_only=True)
    content["hyper_parameters"] |= {"hidden_size": 8192, "num_layers": 64}
    torch.save(content, "giant.ckpt")
    return ["test", "--ckpt_path", "giant.ckpt", "--data.dataset=digits", "--trainer.accelerator=cpu"]


@case
def checkpoint_that_is_a_device() -> list[str]:
    return ["classify", write("seven.png", _png(28, 28)), "--ckpt_path", "/dev/zero"]


@case
def network_that_asks_for_another_file() -> list[str]:
    import onnx

    weight = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], np.ones(1, np.float32).tobytes(), raw=True)
    onnx.external_data_helper.set_external_data(weight, "/etc/passwd")
    put = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["N", 28, 28])
    graph = onnx.helper.make_graph([], "made", [put], [], [weight])
    Path("made.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return ["classify", write("seven.png", _png(28, 28)), "--ckpt_path", "made.onnx"]


# pictures


def _png(width: int, height: int, *more: tuple[bytes, bytes], rows: bytes | None = None) -> bytes:
    """Return a grey PNG; ``more`` are chunks, each with its kind."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width + 1) * height) if rows is None else rows)
    chunks = b"".join(chunk(kind, content) for kind, content in more)
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def picture(name: str, content: bytes) -> list[str]:
    return ["classify", write(name, content)]


@case
def picture_of_10_gigapixels() -> list[str]:
    return picture("a.png", _png(100_000, 100_000, rows=bytes(10**6)))


@case
def picture_with_a_giant_profile() -> list[str]:
    bomb = zlib.compress(bytes(GIANT // 4))
    return picture("a.png", _png(28, 28, (b"iCCP", b"p\0\0" + bomb), (b"zTXt", b"t\0\0" + bomb)))


@case
def picture_with_pages_without_end() -> list[str]:
    file = io.BytesIO()
    Image.new("L", (28, 28)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    struct.pack_into("<I", data, start + 2 + 12 * count, start)  # the next page is this one
    return picture("a.tif", bytes(data))


@case
def picture_with_a_page_of_160_megapixels() -> list[str]:
    file = io.BytesIO()
    Image.new("1", (16_000, 10_000)).save(file, "TIFF", compression="group4")
    return picture("a.tif", file.getvalue())


@case
def picture_with_100_000_frames() -> list[str]:
    frame = b"\x2c\0\0\0\0\x1c\0\x1c\0\0\x02\x02\x4c\x01\0"
    return picture("a.gif", b"GIF89a\x1c\0\x1c\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 100_000 + b"\x3b")


@case
def page_of_a_kilometre() -> list[str]:
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9999999 9999999]/UserUnit 1000>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[3 0 R]>>", page]
    return picture("a.pdf", _pdf(objects))


@case
def document_of_100_000_pages() -> list[str]:
    kids = b"<</Type/Pages/Count 100000/Kids[" + b"3 0 R " * 100_000 + b"]>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 10 10]>>"
    return picture("a.pdf", _pdf([b"<</Type/Catalog/Pages 2 0 R>>", kids, page]))


def _pdf(objects: list[bytes]) -> bytes:
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return body + b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        *(size, table, size),
        len(body),
    )


@case
def array_of_terabytes() -> list[str]:
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    return picture("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)


@case
def array_of_objects() -> list[str]:
    np.save("a.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    return ["classify", "a.npy"]


@case
def images_without_number() -> list[str]:
    return picture("a-idx3-ubyte", bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 28, 28) + bytes(28 * 28))


@case
def images_that_are_a_bomb() -> list[str]:
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", GIANT // 784, 28, 28)
    return picture("a-idx3-ubyte.gz", gzip.compress(head + bytes(GIANT // 784 * 784), 1))


@case
def images_to_predict_that_are_a_bomb() -> list[str]:
    images_that_are_a_bomb()
    return [
        "predict",
        f"--ckpt_path={PRETRAINED}",
        "--trainer.accelerator=cpu",
        "--data.predict_images=a-idx3-ubyte.gz",
    ]


@case
def archives_that_are_bombs() -> list[str]:
    bomb = gzip.compress(bytes(GIANT), 1)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        write(f"{name}-ubyte.gz", bomb)
    return ["fit", "--data.archives=.", "--trainer.accelerator=cpu"]


@case
def folder_with_a_FIFO() -> list[str]:  # noqa: N802
    Path("folder").mkdir()
    os.mkfifo("folder/a.png")
    return ["classify", "folder"]


@case
def picture_that_is_a_device() -> list[str]:
    return ["classify", "/dev/zero"]


@case
def folder_that_holds_itself() -> list[str]:
    Path("folder").mkdir()
    Path("folder/again").symlink_to("..")
    Path("folder/zero.png").symlink_to("/dev/zero")
    return ["classify", "folder"]


@case
def name_that_is_a_formula() -> list[str]:
    name = write("=HYPERLINK(A1)\n\x1b]0;title\a.png", _png(28, 28))
    return ["classify", name, "--format=csv"]
