"""What is done with a picture, in a thread: from the bytes that were sent to the bytes of the answer."""

import io
import json
from typing import Any

import torch
from PIL import Image

from mnist_lstm.data.format import SIZE
from mnist_lstm.data.idx import MAX_PIXELS
from mnist_lstm.errors import InputError
from mnist_lstm.explain.explanation import explain
from mnist_lstm.inference.classifier import Classifier, Prediction
from mnist_lstm.inference.colour import Levels
from mnist_lstm.inference.pages import read_picture
from mnist_lstm.inference.picture import Writing
from mnist_lstm.inference.prepare import prepare
from mnist_lstm.inference.read import MAX_WEBP_PIXELS, open_image
from mnist_lstm.inference.sources import Source
from mnist_lstm.inference.writers import answer_fields
from mnist_lstm.serve.bodies import Posted
from mnist_lstm.serve.refusal import Refusal

FORMATS = "send a PNG, JPEG, BMP, GIF, TIFF, WebP, PNM, HEIC or AVIF picture"


def size_of(posted: Posted) -> tuple[int, int]:
    """Return width and height of a picture by its header; nothing is decoded.

    Raises:
        Refusal: 415 for what is no picture, 413 for too many pixels.
    """
    if posted.data[:64].lstrip().startswith(b"%PDF-"):
        raise Refusal(415, "the file is a PDF file", "use mnist-lstm classify, or send its pages as pictures")
    try:
        image = open_image(io.BytesIO(posted.data))
    except InputError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise _too_many_pixels() from error
        raise Refusal(415, f"the file {error}", FORMATS) from error
    if image.width * image.height > (MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS):
        raise _too_many_pixels()
    return image.size


def _too_many_pixels() -> Refusal:
    limits = f"{MAX_PIXELS // 10**6} megapixels (WebP: {MAX_WEBP_PIXELS // 10**6})"
    return Refusal(413, f"the picture has more than {limits}", "make it smaller: 2,000 pixels a side are plenty")


def find_small(posted: Posted) -> Writing | None:
    """Return the digit of a picture in MNIST's form; None for any other picture, which takes longer.

    Raises:
        Refusal: as `size_of` and `read`.
    """
    if size_of(posted) != (SIZE, SIZE):
        return None
    writing = prepare(read(posted))
    return writing if writing.finding is None and writing.others is None else None


def read(posted: Posted) -> Levels:
    """Decode a picture that `size_of` has accepted.

    Raises:
        Refusal: 422 for a damaged picture.
    """
    try:
        return read_picture(io.BytesIO(posted.data))[0]
    except InputError as error:
        several = "several pages" in str(error)
        message = "has several pages" if several else str(error)
        advice = "send one page" if several else "save it anew, and see whether it opens elsewhere"
        raise Refusal(422, f"the picture {message}", advice) from error


def classify_large(classifier: Classifier, posted: Posted, split: bool) -> bytes:
    """Return the answer for any picture."""
    (prediction,) = classifier.predict([prepare(read(posted))], split=split)
    return to_answer(posted, prediction)


def to_answer(posted: Posted, prediction: Prediction) -> bytes:
    """Return what ``mnist-lstm classify --format json`` prints, and what the network saw."""
    return _json({**answer_fields(Source(posted.name), prediction), "seen": prediction.seen.tolist()})


def explain_one(classifier: Classifier, posted: Posted, gates: bool) -> bytes:
    """Return the numbers of ``mnist-lstm explain`` for a picture of one digit; the gates of all units if wanted."""
    size_of(posted)
    (prediction,) = classifier.predict([prepare(read(posted))])
    if len(prediction.seen) != 1:
        number = len(prediction.seen) or "no"
        raise Refusal(422, f"the picture holds {number} digits", "send a picture of one digit")
    numbers = explain(classifier.network, torch.tensor(prediction.seen[0])).numbers()
    if not gates:
        del numbers["gates"]
    return _json({"file": posted.name, "seen": prediction.seen.tolist(), **numbers})


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
