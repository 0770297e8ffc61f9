"""What the API answers with, for its documentation. Answers are made by `mnist_lstm.serve.pictures`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mnist_lstm.serve.bodies import FIELD


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Box(_Fields):
    """A digit and where it is, as shares of the picture's width and height from its top left corner."""

    digit: int
    probability: float
    left: float
    top: float
    right: float
    bottom: float


class Answer(_Fields):
    """What `mnist-lstm classify --format json` prints for a picture, and what the network saw."""

    file: str = Field(description="name that the sender gave the file; - if none")
    index: None = None
    digit: int | str | None = Field(description="with split, all digits, lines separated by newlines")
    probability: float | None
    probabilities: list[float] | list[list[float]] | None = Field(description="of 0 to 9; with split, for each digit")
    status: str = Field(description="ok, unsure, empty or several")
    message: str = Field(description="the reason for any status but ok")
    boxes: list[Box]
    marks: list[Box] = Field(description="ink that is no digit")
    seen: list[list[list[int]]] = Field(description="28x28 for each digit, 0 (paper) to 255 (ink)")


class Explanation(_Fields):
    """The numbers that `mnist-lstm explain` writes for a picture, and what the network saw."""

    file: str
    seen: list[list[list[int]]]
    prediction: int
    probabilities: list[float]
    label: int
    ending: str
    settles_at: int = Field(description="row from which on the prediction is the final one, from 1")
    block: int
    flips: dict[str, int] = Field(description="first rows of blocks that change the prediction when they are blanked")
    pixels: list[list[float]]
    image: list[list[float]]
    prefix_probabilities: list[list[float]] = Field(description="28x10: of 0 to 9 after each row")
    log_odds: float
    occluded_log_odds: list[float]
    gradient: list[list[float]]
    gradient_norms: dict[str, list[float]]
    gates: list[dict[str, list[list[float]]]] = Field([], description="of each layer and direction, steps x units")


class Model(_Fields):
    """The network that answers."""

    version: str
    options: dict[str, Any] = Field(description="as in mnist_lstm.network.options")
    parameters: int
    threshold: float = Field(description="probability below which an answer is unsure")
    temperature: float
    card: dict[str, Any] = Field(description="how the package's weights were trained; empty for others")


class Health(_Fields):
    """The server answers."""

    status: str


class Refused(_Fields):
    """Why a request was refused, and what to do."""

    error: str
    advice: str


_BINARY = {"schema": {"type": "string", "format": "binary"}}

PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "the bytes of a picture, or a form with one file",
        "content": {
            **dict.fromkeys(("image/png", "image/jpeg", "image/*", "application/octet-stream"), _BINARY),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
"""Documents a request; bodies are read by `mnist_lstm.serve.bodies`."""

_REASONS = {
    408: ("the body comes too slowly", "the body did not arrive within 20 seconds", "use a faster connection"),
    413: ("too many bytes or pixels", "the body is larger than 16 MiB", "make the picture smaller"),
    415: ("not a picture in a known format", "the picture is an empty file", "send a PNG picture"),
    422: ("a damaged picture, or an option with a wrong value", "the picture is empty", "send a picture"),
    503: ("too busy; see Retry-After", "128 requests wait already", "try again in a second"),
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": Refused,
        "description": text,
        "content": {"application/json": {"example": {"error": error, "advice": advice}}},
    }
    for status, (text, error, advice) in _REASONS.items()
}

_BOX = {"digit": 4, "probability": 0.9999, "left": 0.36, "top": 0.22, "right": 0.63, "bottom": 0.74}
ANSWER_EXAMPLE = {
    "file": "four.png",
    "index": None,
    "digit": 4,
    "probability": 0.9999,
    "probabilities": [0.0, 0.0, 0.0, 0.0, 0.9999, 0.0, 0.0, 0.0, 0.0, 0.0001],
    "status": "ok",
    "message": "",
    "boxes": [_BOX],
    "marks": [],
    "seen": [[[0] * 28] * 28],
}


def answered(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a successful answer."""
    content = {"content": {"application/json": {"example": example}}} if example else {}
    return {200: {"model": model, **content}}
