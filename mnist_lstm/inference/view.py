"""Draw a picture, how its digits were found, and the MNIST images that the network read."""

from PIL import Image, ImageDraw, ImageOps

from mnist_lstm.console import printable
from mnist_lstm.data.format import SIZE
from mnist_lstm.inference.classifier import Box, Prediction

SIDE, MARGIN, CAPTION = 10 * SIZE, 10, 20
GROUND, FOUND, LEFT_OUT = (64, 64, 64), (213, 94, 0), (128, 128, 128)
"""Colours: around the pictures, of rectangles around digits, and around what is no digit."""


def draw_view(image: Image.Image, prediction: Prediction) -> Image.Image:
    """Draw a picture of any size, the network's input from it enlarged 10 times, and the answer, as an RGB image.

    If the prediction has stages, they are drawn below.
    """
    tiles = [_with_boxes(image, prediction)]
    tiles += [Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.NEAREST) for digit in prediction.seen]
    stages = list(prediction.stages.items())
    rows = 2 if stages else 1
    columns = max(len(tiles), len(stages))
    size = (SIDE + MARGIN) * columns + MARGIN, rows * (SIDE + MARGIN + CAPTION) + MARGIN
    view = Image.new("RGB", size, GROUND)
    pen = ImageDraw.Draw(view)
    for place, tile in enumerate(tiles):
        _paste(view, tile, place, MARGIN)
    pen.text((MARGIN, SIDE + MARGIN + 5), _caption(prediction), fill="white")
    top = SIDE + MARGIN + CAPTION + MARGIN
    for place, (name, picture) in enumerate(stages):
        _paste(view, ImageOps.contain(picture.convert("RGB"), (SIDE, SIDE)), place, top)
        pen.text((place * (SIDE + MARGIN) + MARGIN, top + SIDE + 5), name, fill="white")
    return view


def _caption(prediction: Prediction) -> str:
    text: str = prediction.status
    if prediction.probability is not None:
        text = f"{printable(str(prediction.digit))}  ({100 * prediction.probability:.2f} %)"
        text += "" if prediction.status == "ok" else f"  {prediction.status}"
    return f"{text}: {prediction.message}" if prediction.message else text


def _with_boxes(image: Image.Image, prediction: Prediction) -> Image.Image:
    """Return a picture of at most SIDE pixels with rectangles around the digits and around what is none."""
    if image.mode == "F":
        image = image.point(lambda level: level * 255)
    if "A" in image.mode:
        ground = Image.new("RGBA", image.size, (128, 128, 128, 255))  # transparent areas become grey
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    image = image.convert("RGB")
    method = Image.Resampling.NEAREST if 2 * max(image.size) < SIDE else Image.Resampling.BICUBIC
    image = ImageOps.contain(image, (SIDE, SIDE), method)
    for boxes, colour in ((prediction.marks, LEFT_OUT), (prediction.boxes, FOUND)):
        for box in boxes:
            _draw_box(image, box, colour)
    return image


def _draw_box(image: Image.Image, box: Box, colour: tuple[int, int, int]) -> None:
    left, right = (round(share * image.width) for share in (box.left, box.right))
    top, bottom = (round(share * image.height) for share in (box.top, box.bottom))
    ImageDraw.Draw(image).rectangle([left - 1, top - 1, right, bottom], outline=colour)


def _paste(view: Image.Image, tile: Image.Image, place: int, top: int) -> None:
    """Put a picture of at most SIDE pixels into a column, in the middle."""
    left = MARGIN + place * (SIDE + MARGIN)
    view.paste(tile, (left + (SIDE - tile.width) // 2, top + (SIDE - tile.height) // 2))
