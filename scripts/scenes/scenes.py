"""Draw a picture of any kind at random, with its truth; the same seed and number draw the same picture.

for scene in draw_scenes(2000, seed=1, mnist=load_split("mnist", "val")):
    scene.image.save(f"{scene.number}_{scene.text}.png")
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mnist_lstm.data.datasets import Digits
from mnist_lstm.data.forms import UNSEEN_FORMS, Form
from scenes import camera, paper
from scenes.camera import Colours
from scenes.writing import Plane, Writer, draw_writer, wear, write_lines

SHEETS = ("plain", "ruled", "squared", "recycled", "coloured", "envelope", "chalkboard", "whiteboard")
KINDS = (*SHEETS, "boxes", "table", "note", "objects", "tight", "screen")
"""Sheets fill the picture. boxes: of a form. table: a sheet at an angle on a table. note: a small one. objects: dark
things or fingers at the edges. tight: cropped to the ink. screen: a window with a drawing."""

CONTENTS = ("one",) * 10 + ("line",) * 5 + ("touching",) + ("lines",) * 3 + ("empty",)
"""What is written, as often as it stands here."""


@dataclass(frozen=True)
class Scene:
    """A picture and what is written in it.

    Attributes:
        number: of the picture in its series.
        kind: one of `KINDS`.
        content: one of `CONTENTS`.
        image: as a camera or scanner made it.
        text: the digits; lines are separated by a newline; "" for an empty sheet.
    """

    number: int
    kind: str
    content: str
    image: Image.Image
    text: str


def draw_scenes(
    count: int, seed: int, mnist: Digits | None, forms: dict[int, tuple[Form, ...]] = UNSEEN_FORMS
) -> Iterator[Scene]:
    """Draw pictures of all kinds in turn.

    Args:
        count: number of pictures.
        seed: of the series.
        mnist: images for half of the writers; None: pens only.
        forms: of the pens.

    Yields:
        Pictures number 0 to ``count - 1``; each depends on its number and the seed alone, not on the others.
    """
    for number in range(count):
        yield draw_scene(number, seed, mnist, forms)


def draw_scene(number: int, seed: int, mnist: Digits | None, forms: dict[int, tuple[Form, ...]]) -> Scene:
    """Draw one picture of a series; see `draw_scenes`."""
    kind, content, rng = _plan(number, seed)
    lines = _lines(content, rng)
    image = _draw(kind, content, lines, mnist, forms, rng)
    return Scene(number, kind, content, image, "" if content == "empty" else "\n".join(lines))


def find_scenes(count: int, seed: int, content: str) -> list[int]:
    """Return which of the pictures 0 to ``count - 1`` of a series have one of `CONTENTS`; none is drawn."""
    return [number for number in range(count) if _plan(number, seed)[1] == content]


def _plan(number: int, seed: int) -> tuple[str, str, np.random.Generator]:
    """Return kind and content of a picture, and the generator that draws the rest."""
    rng = np.random.default_rng((seed, number))
    kind = KINDS[number % len(KINDS)]
    content = CONTENTS[rng.integers(len(CONTENTS))]
    if kind in ("tight", "screen") and content in ("lines", "touching", "line"):
        content = "one"
    if kind == "boxes" and content == "touching":
        content = "line"
    return kind, content, rng


def _lines(content: str, rng: np.random.Generator) -> list[str]:
    rows = int(rng.integers(2, 6)) if content == "lines" else 1
    longest = {"one": 1, "empty": 1, "touching": 5}.get(content, 9)
    lengths = rng.integers(min(2, longest), longest + 1, rows)
    return ["".join(str(d) for d in rng.integers(0, 10, length)) for length in lengths]


def _draw(
    kind: str, content: str, lines: list[str], mnist: Digits | None, forms: dict[int, tuple[Form, ...]],
    rng: np.random.Generator,
) -> Image.Image:  # fmt: skip
    writer = draw_writer(rng, mnist, forms)
    if kind == "screen":
        return _screen(lines[0], content, rng, writer)
    if kind == "tight":
        height = float(np.exp(rng.uniform(np.log(28), np.log(400))))
        ink, layers = write_lines(lines, height, writer, rng)
        margin = rng.choice([0, 0, 0, 1, round(0.03 * height), round(0.1 * height)])
        ink, layers = np.pad(ink, margin), [np.pad(layer, margin) for layer in layers]
        name = SHEETS[rng.integers(len(SHEETS))]
        name = "plain" if name in ("ruled", "squared") else name
    else:
        height, shape = _sizes(kind, content, lines, rng)
        ink, layers = write_lines(
            lines, height, writer, rng, touching=content == "touching", least=0.65 if kind == "boxes" else 0.1
        )
        room = (max(shape[0], round(ink.shape[0] + height)), max(shape[1], round(ink.shape[1] + height)))
        top, left = (round((r - s) * (0.5 + rng.uniform(-0.3, 0.3))) for r, s in zip(room, ink.shape, strict=True))
        around = ((top, room[0] - top - ink.shape[0]), (left, room[1] - left - ink.shape[1]))
        ink, layers = np.pad(ink, around), [np.pad(layer, around) for layer in layers]
        name = kind if kind in SHEETS else SHEETS[rng.choice([0, 0, 1, 2, 3])]
        name = "coloured" if kind == "note" else name
    sheet = _write(name, ink, layers if kind == "boxes" else [], content, height, rng)
    return _photograph(kind, name, sheet, ink, rng)


def _sizes(kind: str, content: str, lines: list[str], rng: np.random.Generator) -> tuple[float, tuple[int, int]]:
    """Return the height of digits and the size of the sheet, in pixels."""
    megapixels = 12.0 if rng.random() < 0.01 else float(np.exp(rng.uniform(np.log(0.3), np.log(1.5))))
    ratio = rng.choice([3 / 4, 4 / 3, 1, 16 / 9])
    width = int((megapixels * 1e6 * ratio) ** 0.5)
    shape = int(width / ratio), width
    columns = max(len(line) for line in lines)
    largest = min(
        0.6 * min(shape), shape[1] / ((2.2 if kind == "boxes" else 1.6) * columns), shape[0] / (2.2 * len(lines))
    )
    smallest = min(0.07 * min(shape), largest / 2)
    if kind in ("table", "note"):
        smallest = min(1.5 * smallest, largest / 2)
    return float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))), shape


def _write(name: str, ink: Plane, boxed: list[Plane], content: str, height: float, rng: np.random.Generator) -> Colours:
    draw, colours = paper.PAPERS[name]
    sheet = draw(ink.shape, rng, height)
    if boxed:
        sheet = paper.boxes(sheet, boxed, rng)
    if content == "empty":
        return sheet
    choice = rng.integers(len(colours))
    colour = np.array(colours[choice], np.float32)
    pen = {"chalkboard": "chalk", "whiteboard": "felt"}.get(name) or ("felt", "ball", "pencil")[rng.integers(3)]
    if colours[choice] == paper.PENCIL:
        pen = "pencil"
    strength = rng.uniform(0.6, 1) if pen in ("pencil", "chalk") else rng.uniform(0.8, 1)
    share = (strength * wear(ink, pen, height, rng))[..., None]
    return (sheet * (1 - share) + colour * share).astype(np.float32)


def _photograph(kind: str, name: str, sheet: Colours, ink: Plane, rng: np.random.Generator) -> Image.Image:
    scanned = kind not in ("table", "note", "objects") and rng.random() < 0.25
    if kind in ("table", "note"):
        share = rng.uniform(0.25, 0.5) if kind == "note" else rng.uniform(0.6, 0.97)
        shape = sheet.shape[:2]
        if rng.random() < 0.5 and kind == "table":
            shape = (round(shape[0] * rng.uniform(1, 1.4)), round(shape[1] * rng.uniform(1, 1.4)))
        if kind == "note":
            shape = (round(shape[0] / share**0.7), round(shape[1] / share**0.7))
        sheet = camera.put_on_table(sheet, shape, share, rng)
    if kind == "objects":
        margin = max(3, round(0.02 * min(ink.shape)))
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        free = np.ones(ink.shape, dtype=bool)
        free[max(0, rows[0] - margin) : rows[-1] + margin, max(0, columns[0] - margin) : columns[-1] + margin] = False
        sheet = camera.put_objects(sheet, free, rng)
    if scanned:
        return camera.expose(sheet, rng, blur=rng.uniform(0, 0.6), grain=rng.uniform(0, 0.01), quality=None)
    sheet = sheet * camera.light(sheet.shape[:2], rng)[..., None] * np.float32(rng.uniform(0.7, 1.05))
    blur = rng.uniform(0.2, 0.8) * (min(sheet.shape[:2]) / 700)
    return camera.expose(sheet, rng, blur=blur, grain=rng.uniform(0.003, 0.025), quality=int(rng.integers(55, 96)))


def _screen(line: str, content: str, rng: np.random.Generator, writer: Writer) -> Image.Image:
    """Draw a window of a drawing program, with a title bar, on a page of another brightness."""
    size = int(rng.integers(140, 700))
    dark = bool(rng.random() < 0.6)
    ground, colour = (0, 255) if dark else (255, 0)
    canvas = np.full((size, size), ground, np.float32)
    if content != "empty":
        ink, _ = write_lines([line], rng.uniform(0.45, 0.8) * size, writer, rng)
        ink = ink[: size - 4, : size - 4]
        top, left = (size - ink.shape[0]) // 2, (size - ink.shape[1]) // 2
        part = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
        part[:] = part * (1 - ink) + colour * ink
    margin = rng.integers(0, 1 + size // 3, 2)
    bar = int(rng.uniform(0.08, 0.16) * size) if rng.random() < 0.6 else 0
    page = int(rng.choice([255, 255, 240, 60]))
    picture = Image.new("L", (size + 2 * int(margin[1]), size + bar + 2 * int(margin[0])), page)
    pen = ImageDraw.Draw(picture)
    x, y = int(margin[1]), int(margin[0])
    if bar:
        pen.rectangle([x, y, x + size - 1, y + bar], fill=235)
        for place in range(3):
            at = x + size - (place + 1) * bar
            pen.rectangle([at, y + bar // 3, at + bar // 3, y + 2 * bar // 3], outline=40, width=max(1, bar // 20))
    picture.paste(Image.fromarray(np.rint(canvas).astype(np.uint8)), (x, y + bar))
    return picture.convert("RGB")
