"""Draw a picture beside the MNIST images that the network read."""

from PIL import Image, ImageDraw, ImageOps

from mnist_lstm.console import printable
from mnist_lstm.data.format import SIZE
from mnist_lstm.inference.classifier import Prediction

SIDE, MARGIN, CAPTION = 10 * SIZE, 10, 20
FOUND = (213, 94, 0)  # orange rectangles around the digits


def draw_view(image: Image.Image, prediction: Prediction) -> Image.Image:
    """Draw a picture of any size, the network's input from it enlarged 10 times, and the answer, as an RGB image."""
    if image.mode == "F":
        image = image.point(lambda level: level * 255)
    if "A" in image.mode:
        ground = Image.new("RGBA", image.size, (128, 128, 128, 255))  # transparent areas become grey
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    image = image.convert("RGB")
    method = Image.Resampling.NEAREST if 2 * max(image.size) < SIDE else Image.Resampling.BICUBIC
    image = ImageOps.contain(image, (SIDE, SIDE), method)
    pen = ImageDraw.Draw(image)
    for box in prediction.boxes:
        left, right = (round(share * image.width) for share in (box.left, box.right))
        top, bottom = (round(share * image.height) for share in (box.top, box.bottom))
        pen.rectangle([left - 1, top - 1, right, bottom], outline=FOUND)
    size = (SIDE + MARGIN) * (1 + len(prediction.seen)) + MARGIN, SIDE + 2 * MARGIN + CAPTION
    view = Image.new("RGB", size, (64, 64, 64))
    view.paste(image, (MARGIN + (SIDE - image.width) // 2, MARGIN + (SIDE - image.height) // 2))
    for place, digit in enumerate(prediction.seen, 1):
        enlarged = Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        view.paste(enlarged, (MARGIN + place * (SIDE + MARGIN), MARGIN))
    text: str = prediction.status
    if prediction.probability is not None:
        text = f"{printable(str(prediction.digit))}  ({100 * prediction.probability:.2f} %)" + (
            "" if text == "ok" else f"  {text}"
        )
    ImageDraw.Draw(view).text((MARGIN, SIDE + MARGIN + 5), text, fill="white")
    return view
